"""Pretrainers from training checkpoints of the original code."""

import argparse

import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import load_pretrainer
from keras_asit.optimizers import AdamW

torch = pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")


def read(path):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, weights_only=True)


def test_outputs_of_the_first_generation_equal_the_reference(golden, golden_forward):
    pretrainer = load_pretrainer(golden / "official_checkpoint.pth", num_heads=3)
    for network in (pretrainer.student, pretrainer.teacher):
        for output, name in zip(
            network(golden_forward["corrupted"]), ("cls", "data", "reconstruction")
        ):
            expected = golden_forward[name]
            difference = np.abs(ops.convert_to_numpy(output) - expected).max()
            assert difference / np.abs(expected).max() < 1e-5, name


def test_centers_and_gains_are_loaded(golden):
    path = golden / "second_generation_checkpoint.pth"
    pretrainer = load_pretrainer(path, num_heads=2)
    center = read(path)["CLS_PATCH_loss"]["center"][0]
    for loss in (pretrainer.global_distillation, pretrainer.local_distillation):
        np.testing.assert_array_equal(ops.convert_to_numpy(loss.center), center)
    gain = read(path)["teacher"]["head.last_layer.weight_g"][:, 0]
    prototypes = pretrainer.teacher.projection_head.class_prototypes
    np.testing.assert_array_equal(ops.convert_to_numpy(prototypes.gain), gain)
    assert pretrainer.teacher.projection_head.patch_prototypes is prototypes

    path = golden / "official_checkpoint.pth"
    pretrainer = load_pretrainer(path, num_heads=3)
    for loss, name in (
        (pretrainer.global_distillation, "loss_cls"),
        (pretrainer.local_distillation, "loss_data"),
    ):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loss.center), read(path)[name]["center"][0]
        )


@pytest.mark.parametrize(
    ("file", "heads"), [("official_checkpoint.pth", 3), ("second_generation_checkpoint.pth", 2)]
)
def test_training_goes_on(golden, file, heads):
    pretrainer = load_pretrainer(golden / file, num_heads=heads)
    pretrainer.compile(AdamW(1e-4), jit_compile=False)
    shape = pretrainer.student.backbone.spectrogram_shape
    clean = np.random.default_rng(1).normal(size=(2, 2, *shape)).astype("float32")
    logs = pretrainer.evaluate({"clean": clean}, verbose=0, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())


def test_what_does_not_fit_is_named(golden, tmp_path):
    path = tmp_path / "checkpoint.pth"

    def load_with(change):
        contents = read(golden / "official_checkpoint.pth")
        change(contents)
        torch.save(contents, path)
        load_pretrainer(path, num_heads=3)

    with pytest.raises(ValueError, match=r"head_recons\.mlp\.2\.bias is missing"):
        load_with(lambda c: c["student"].pop("module.head_recons.mlp.2.bias"))
    with pytest.raises(ValueError, match=r"head_cls\.cls_layer\.weight_g is not 1"):
        load_with(lambda c: c["teacher"]["head_cls.cls_layer.weight_g"].mul_(2))
    with pytest.raises(ValueError, match=r"loss_cls\.center is missing"):
        load_with(lambda c: c.pop("loss_cls"))
    with pytest.raises(ValueError, match="no training checkpoint"):
        load_pretrainer(golden / "sed_ssl.pt")
