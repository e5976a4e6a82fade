"""The pretrainer: the original's outputs, the losses, the teacher, batches, saving."""

import keras
import keras_hub
import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from keras import ops
from small_pretrainer import SHAPE, batch_of, build, compiled, weights_of

from keras_asit.models import ASiTAudioConverter, ASiTBackbone, ASiTPretrainer
from keras_asit.models.pretraining_batch import frames_of_waveforms


def test_logits_and_reconstruction_equal_those_of_the_original_code(
    golden_forward, golden_trajectory
):
    student = build_reference_pretrainer(golden_trajectory).student
    outputs = student(golden_forward["corrupted"])
    for output, name in zip(outputs, ("cls", "data", "reconstruction")):
        np.testing.assert_allclose(
            ops.convert_to_numpy(output), golden_forward[name], rtol=0, atol=1e-5
        )


def test_loss_is_the_weighted_sum_of_three_and_evaluation_changes_nothing():
    pretrainer = compiled(
        build(global_loss_weight=0.25, local_loss_weight=0.5, reconstruction_loss_weight=4.0)
    )
    before = weights_of(pretrainer)
    logs = pretrainer.evaluate({"clean": batch_of()}, verbose=0, return_dict=True)
    expected = (
        0.25 * logs["global_loss"] + 0.5 * logs["local_loss"] + 4 * logs["reconstruction_loss"]
    )
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    for a, b in zip(before, weights_of(pretrainer)):
        np.testing.assert_array_equal(a, b)


def test_teacher_starts_as_the_student():
    pretrainer = build()
    for a, b in zip(weights_of(pretrainer.teacher), weights_of(pretrainer.student)):
        np.testing.assert_array_equal(a, b)


def test_teacher_is_never_trained_by_gradients():
    pretrainer = build()
    teacher = {id(variable) for variable in pretrainer.teacher.variables}
    for trainable in (True, False, True):
        pretrainer.trainable = trainable
        assert not any(id(v) in teacher for v in pretrainer.trainable_variables)
    assert pretrainer.trainable_variables


def test_whatever_is_set_trainable_the_teacher_is_not():
    pretrainer = build()
    number = len(pretrainer.trainable_variables)
    pretrainer.trainable = False
    assert pretrainer.trainable_variables == []
    pretrainer.trainable = True
    for layer in pretrainer.layers:
        layer.trainable = True
    assert len(pretrainer.trainable_variables) == number
    assert pretrainer.teacher.trainable_variables == []


def test_given_masks_are_used_as_they_are():
    clean, mask = batch_of(), np.zeros((4, 2, *SHAPE), "float32")
    mask[..., :16, :] = 1
    outputs = build()({"clean": clean, "corrupted": clean - mask, "mask": mask})
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs["corrupted"]), clean - mask)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs["mask"]), mask)


@pytest.mark.slow
def test_second_generation_learns_from_short_crops_of_another_size():
    pretrainer = compiled(
        build(
            num_patch_prototypes=None,
            trainable_gain=True,
            global_loss_weight=0.5,
            local_loss_weight=0.5,
            reconstruction_loss_weight=1.0,
        )
    )
    batch = {"clean": batch_of(), "short": batch_of(views=3, shape=(16, 32))}
    logs = pretrainer.fit(batch, verbose=0).history
    assert all(np.isfinite(value).all() for value in logs.values())
    outputs = pretrainer(batch)
    assert outputs["student_class_logits"].shape == (4, 5, 24)
    assert outputs["student_patch_logits"].shape == (4, 2, 4, 24)


@pytest.mark.slow
def test_waveforms_become_the_spectrograms_that_the_converter_makes():
    converter = ASiTAudioConverter(num_frames=32, num_mels=32)
    pretrainer = compiled(build(converter=converter))
    waveforms = np.random.default_rng(1).uniform(-1, 1, (4, 2, 5600)).astype("float32")
    outputs = pretrainer({"clean": waveforms})
    expected = ops.convert_to_numpy(converter(waveforms[:, 1]))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs["clean"])[:, 1], expected, atol=1e-4)
    logs = pretrainer.fit({"clean": waveforms}, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"clean": batch_of(views=3)}, "two views"),
        ({"clean": batch_of(shape=(48, 32))}, "spectrogram_shape"),
        ({"clean": batch_of(), "mask": batch_of()}, "both or neither"),
        ({"clean": batch_of()[:, :, 0]}, "`converter`"),
        ({"clean": batch_of(), "short": batch_of(shape=(16, 24))}, "'short' must have shape"),
        ({"clean": batch_of(), "short": batch_of(shape=(24, 32))}, "multiple of 16"),
        ({"short": batch_of()}, "must hold 'clean'"),
        ({"clean": batch_of(), "shorts": batch_of()}, "Received: \\['clean', 'shorts'\\]"),
        (batch_of(), "must be a dict"),
    ],
)
def test_a_batch_of_another_shape_is_an_error(batch, message):
    with pytest.raises(ValueError, match=message):
        build()(batch)


@pytest.mark.parametrize("change", [lambda b: b.enable_lora(2), lambda b: b.quantize("int8")])
def test_a_backbone_of_fewer_trainable_weights_is_refused(change):
    backbone = ASiTBackbone(SHAPE, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    change(backbone)
    with pytest.raises(ValueError, match="low-rank adaptation, or quantized, cannot be"):
        ASiTPretrainer(backbone)


def test_waveforms_of_no_usable_length_are_named():
    converter = ASiTAudioConverter(num_frames=32, num_mels=32)
    pretrainer = build(converter=converter)
    with pytest.raises(ValueError, match="'clean' must have waveforms of at least 16 frames"):
        pretrainer({"clean": np.zeros((4, 2, 2000), "float32")})
    with pytest.raises(ValueError, match="'clean' must have waveforms of a length that is known"):
        frames_of_waveforms("clean", (None, 2, None), converter, 16)


def test_masking_must_be_group_masking():
    with pytest.raises(ValueError, match="`masking` must be a GroupMasking"):
        build(masking="zeros")


def test_patches_must_tile_the_spectrogram():
    backbone = ASiTBackbone((40, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    with pytest.raises(ValueError, match="tiled"):
        ASiTPretrainer(backbone)


def test_weights_load_with_another_stochastic_depth(tmp_path):
    pretrainer = build()
    pretrainer.save_weights(tmp_path / "pretrainer.weights.h5")
    config = {**pretrainer.backbone.get_config(), "drop_path_rate": 0.0}
    plain = ASiTPretrainer.from_config(
        {
            **pretrainer.get_config(),
            "backbone": keras.saving.serialize_keras_object(ASiTBackbone.from_config(config)),
        }
    )
    plain.load_weights(tmp_path / "pretrainer.weights.h5")
    for weight, expected in zip(weights_of(plain), weights_of(pretrainer)):
        np.testing.assert_array_equal(weight, expected)
    plain.save_weights(tmp_path / "plain.weights.h5")
    pretrainer.load_weights(tmp_path / "plain.weights.h5")


def test_a_frozen_pretrainer_stays_frozen_when_it_is_made_anew():
    pretrainer = build(trainable=False)
    again = ASiTPretrainer.from_config(pretrainer.get_config())
    assert not again.trainable and not again.trainable_variables


def test_a_trained_network_is_saved_as_a_preset_that_can_be_trained(tmp_path):
    pretrainer = compiled()
    pretrainer.train_on_batch({"clean": batch_of()})
    inputs = batch_of()[:, 0]
    for name in ("student", "teacher"):
        backbone = getattr(pretrainer, name).backbone
        backbone.save_to_preset(str(tmp_path / name))
        loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / name))
        assert len(loaded.trainable_variables) == len(loaded.weights) == len(backbone.weights) > 0
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded(inputs)), ops.convert_to_numpy(backbone(inputs))
        )
