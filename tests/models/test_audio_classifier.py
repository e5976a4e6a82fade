"""The classifier: inputs of every kind, one result; training, saving, presets, bad input."""

import importlib.util
import os
import subprocess
import sys

import h5py
import keras
import keras_hub
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from harness import assert_close, run_task_test
from keras import ops
from keras.optimizers import LossScaleOptimizer

from keras_asit.layers import SpecAugment
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)
from keras_asit.optimizers import AdamW

NAMES = ["cat", "dog", "cow"]


def build(raw=True, frames=32, dtype=None, **kwargs):
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone(
        (frames, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32, dtype=dtype
    )
    converter = ASiTAudioConverter(num_frames=frames, num_mels=32)
    preprocessor = ASiTAudioClassifierPreprocessor(converter) if raw else None
    return fast(ASiTAudioClassifier(backbone, 3, preprocessor, compile=False, **kwargs))


def fast(classifier, optimizer="auto"):
    """Compile without XLA where that is a choice: these tests compile much and compute little."""
    classifier.compile(optimizer, jit_compile=keras.config.backend() == "jax")
    return classifier


def tones(lengths=(6000, 4000, 3000, 7000, 6000, 5000)):
    """Return clips of different lengths, class by class of another pitch."""
    generator = np.random.default_rng(1)
    return [
        (
            0.3 * np.sin(2 * np.pi * (300, 1000, 3000)[index % 3] * np.arange(length) / 16000)
            + 0.01 * generator.normal(size=length)
        ).astype("float32")
        for index, length in enumerate(lengths)
    ]


LABELS = [0, 1, 2, 0, 1, 2]


def predict(classifier, x, **kwargs):
    return classifier.predict(x, verbose=0, **kwargs)


def test_lists_arrays_datasets_and_spectrograms_give_the_same():
    classifier = build()
    clips = tones()
    expected = predict(classifier, clips, batch_size=4)
    assert expected.shape == (6, 3)
    for index, clip in enumerate(clips):
        np.testing.assert_allclose(predict(classifier, clip[None])[0], expected[index], atol=1e-5)
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(clips), [len(clip) for clip in clips])
    dataset = tf.data.Dataset.from_tensor_slices(ragged).batch(4)
    np.testing.assert_allclose(predict(classifier, dataset), expected, atol=1e-5)
    spectrograms = ops.convert_to_numpy(classifier.preprocessor(clips))
    np.testing.assert_allclose(
        ops.convert_to_numpy(classifier(spectrograms)), expected, rtol=0, atol=1e-5
    )
    classifier.preprocessor = None
    np.testing.assert_allclose(predict(classifier, spectrograms), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_learns_from_names_and_from_indices_and_says_how_well():
    classifier = build(class_names=NAMES, pooling="cls_and_mean")
    fast(classifier, keras.optimizers.Adam(1e-2))
    names = [NAMES[label] for label in LABELS]
    history = classifier.fit(
        tones(), names, batch_size=6, epochs=25, validation_data=(tones(), LABELS), verbose=0
    ).history
    assert history["val_accuracy"][-1] == 1
    assert classifier.evaluate(tones(), names, verbose=0)[1] == 1
    split = classifier.fit(tones(), LABELS, validation_split=0.5, verbose=0).history
    assert "val_loss" in split


@pytest.mark.parametrize("raw", [False, True])
def test_what_holds_for_every_task(raw):
    classifier = build(raw)
    clips = np.stack(tones([6000, 6000, 6000]))
    run_task_test(
        ASiTAudioClassifier,
        {
            "backbone": classifier.backbone,
            "num_classes": 3,
            "preprocessor": classifier.preprocessor,
            "class_names": NAMES,
            "pooling": "cls_and_mean",
            "dropout": 0.1,
        },
        clips if raw else ops.convert_to_numpy(build().preprocessor(clips)),
    )


@pytest.mark.slow
def test_several_labels_a_clip():
    classifier = build(multi_label=True)
    fast(classifier, keras.optimizers.Adam(1e-2))
    labels = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0]] * 2)
    history = classifier.fit(tones(), labels, batch_size=6, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    probabilities = classifier.probability_model().predict(
        ops.convert_to_numpy(classifier.preprocessor(tones())), verbose=0
    )
    np.testing.assert_allclose(
        probabilities, 1 / (1 + np.exp(-predict(classifier, tones()))), atol=1e-5
    )


def test_saved_whole_and_as_a_preset_it_predicts_the_same(tmp_path, recwarn):
    classifier = build(
        class_names=NAMES, pooling="mean", dropout=0.1, augmentation=SpecAugment(4, 4, seed=1)
    )
    classifier.fit(tones(), LABELS, verbose=0)
    expected = predict(classifier, tones())
    classifier.save(tmp_path / "classifier.keras")
    classifier.save_to_preset(str(tmp_path / "preset"))
    for loaded in (
        keras.saving.load_model(tmp_path / "classifier.keras"),
        ASiTAudioClassifier.from_preset(str(tmp_path / "preset")),
    ):
        np.testing.assert_array_equal(predict(fast(loaded), tones()), expected)
        assert loaded.class_names == NAMES
        assert loaded.augmentation.max_frames == 4
    # A preset has no states of an optimizer, twice the weights, to be loaded or skipped.
    assert classifier.optimizer.iterations == 1
    with h5py.File(tmp_path / "preset" / "task.weights.h5") as file:
        assert "layers" in file and "optimizer" not in file
    assert not [warning for warning in recwarn if "optimizer" in str(warning.message)]
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert isinstance(backbone, ASiTBackbone)
    other = fast(
        ASiTAudioClassifier.from_preset(
            str(tmp_path / "preset"), num_classes=5, spectrogram_shape=(48, 32)
        )
    )
    assert predict(other, tones()).shape == (6, 5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(other.backbone.transformer_blocks[0].weights[0]),
        ops.convert_to_numpy(classifier.backbone.transformer_blocks[0].weights[0]),
    )


def test_starts_from_a_built_in_preset():
    with pytest.warns(UserWarning, match="random"):
        classifier = ASiTAudioClassifier.from_preset(
            "asit_tiny_16k", num_classes=3, spectrogram_shape=(32, 128)
        )
    assert classifier.preprocessor.audio_converter.audio_shape() == (32, 128)
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        ASiTAudioClassifier.from_preset("asit_tiny_16k")


@pytest.mark.slow
def test_a_frozen_backbone_and_lora_leave_its_weights():
    classifier = build()
    classifier.backbone.trainable = False
    fast(classifier)
    before = [ops.convert_to_numpy(weight) for weight in classifier.backbone.weights]
    classifier.fit(tones(), LABELS, verbose=0)
    for weight, value in zip(classifier.backbone.weights, before):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)
    assert len(classifier.trainable_variables) == 2

    classifier = build()
    classifier.backbone.enable_lora(2)
    fast(classifier, keras.optimizers.Adam(1e-2))
    classifier.fit(tones(), LABELS, verbose=0)
    assert any("lora" in variable.path for variable in classifier.trainable_variables)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([np.zeros(4000), np.zeros(0)], "clip 1 is empty"),
        (np.zeros((2, 4000), "int16"), "divide 16-bit integers by 32768"),
        (np.full((2, 4000), 300.0), "with a peak of 300"),
        ([np.zeros(4000), np.full(4000, np.nan)], "sample 0 of clip 1 is nan"),
        (np.zeros((2, 2, 4000)), r"\(batch, samples, channels\).*shape=\(2, 2, 4000\)"),
        (np.zeros(()), r"must have shape \(batch, samples\)"),
        ([np.zeros((4000, 2))], "mix channels down"),
        ([], "at least one clip"),
    ],
)
def test_bad_waveforms_are_named(clips, message):
    with pytest.raises(ValueError, match=message):
        build().predict(clips)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3, 0, 0, 0], "Received: 3 for clip 2"),
        ([0, -1, 0, 0, 0, 0], "Received: -1 for clip 1"),
        (["cat", "cow", "horse", "dog", "dog", "dog"], "'horse' for clip 2"),
        ([0, 1, 2], "`y` and `sample_weight` must be of 6 clips"),
        (np.full((6, 3), 2.0), "from 0 to 1. Received: 2.0 for clip 0"),
        (np.zeros((6, 4)), r"Received: shape=\(6, 4\)"),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        build(class_names=NAMES).fit(tones(), labels)


@pytest.mark.slow
def test_bad_data_of_a_dataset_stops_it():
    clips = np.zeros((2, 4000), "float32")
    for x, y, message in (
        (clips * np.nan, [0, 1], "must be finite"),
        (clips, [0, 7], "integers from 0 to 2. Received: 7 for clip 1"),
    ):
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            build().fit(dataset, verbose=0)
    with pytest.raises(ValueError, match="brings its own `y`"):
        build().fit(dataset, [0, 1])


def test_bad_arguments_are_errors():
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=32))
    with pytest.raises(ValueError, match="but the preprocessor makes"):
        ASiTAudioClassifier(backbone, 3, preprocessor)
    with pytest.raises(ValueError, match=r"must be 3 different names.*more than once: 'a'"):
        ASiTAudioClassifier(backbone, 3, class_names=["a", "a", "b"])
    with pytest.raises(ValueError, match=r"must be 3 different names.*Received: 2"):
        ASiTAudioClassifier(backbone, 3, class_names=["a", "b"])
    for names in ("abc", ["a", "b", 3]):
        with pytest.raises(ValueError, match="must be a list of strs"):
            ASiTAudioClassifier(backbone, 3, class_names=names)
    with pytest.raises(ValueError, match="has no arguments 'dropot'"):
        ASiTAudioClassifier(backbone, 3, dropot=0.5)
    with pytest.raises(ValueError, match="`pooling` must be one of"):
        ASiTAudioClassifier(backbone, 3, pooling="max")
    with pytest.raises(ValueError, match="must be sampled at 16000 Hz"):
        preprocessor(tones(), sample_rate=44100)
    with pytest.raises(ValueError, match=r"spectrograms of shape \(batch, 32, 32\)"):
        ASiTAudioClassifier(backbone, 3).predict(np.zeros((2, 48, 32)))


def test_what_is_neither_clips_nor_batches_is_refused():
    classifier = build()
    spectrograms = ASiTAudioClassifier(classifier.backbone, 3)
    unbatched = tf.data.Dataset.from_tensor_slices(np.zeros((4, 6000), "float32"))
    with pytest.raises(ValueError, match="must be an array or a list of clips"):
        classifier.predict(iter([1]))
    with pytest.raises(ValueError, match="must be of batches of known rank"):
        classifier.predict(unbatched)
    with pytest.raises(ValueError, match="must be of batches of known rank"):
        spectrograms.predict(unbatched)
    with pytest.raises(ValueError, match="shares of several classes, but the loss takes class ind"):
        classifier.fit(tones(), np.full((6, 3), 0.5))
    classifier.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="the loss takes shares of classes"):
        classifier.fit(tones(), LABELS)


# --- What else Keras users have ---


def write_folder(folder, channels=1):
    """Write clips of three classes, of 16 bits, as `audio_dataset_from_directory` reads them."""
    for index, clip in enumerate(tones()):
        path = folder / NAMES[index % 3] / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([clip, *[0 * clip] * (channels - 1)], axis=1), 16000)
    return folder


@pytest.mark.parametrize(
    ("label_mode", "form"),
    [
        ("int", {"output_sequence_length": 6000}),
        ("categorical", {}),
        ("int", {"ragged": True}),
    ],
)
def test_batches_of_an_audio_dataset_from_a_directory(tmp_path, label_mode, form):
    classifier = build(class_names=NAMES)
    dataset = keras.utils.audio_dataset_from_directory(
        write_folder(tmp_path), labels="inferred", label_mode=label_mode, batch_size=2,
        class_names=NAMES, shuffle=False, verbose=False, **form
    )  # fmt: skip
    predictions = predict(classifier, dataset)
    paths = [path for name in NAMES for path in sorted((tmp_path / name).iterdir())]
    clips = [soundfile.read(path, dtype="float32")[0] for path in paths]
    if form.get("ragged"):
        assert_close(predictions, predict(classifier, clips), atol=1e-4)
    logs = classifier.evaluate(dataset, verbose=0, return_dict=True)
    right = np.mean(predictions.argmax(axis=1) == [0, 0, 1, 1, 2, 2])
    assert logs["accuracy"] == pytest.approx(right)
    classifier.fit(dataset, verbose=0)


def test_channels_of_a_batch_are_mixed_down(tmp_path):
    classifier = build()
    clips = np.stack([clip[:3000] for clip in tones()])
    expected = predict(classifier, clips / 2)
    stereo = np.stack([clips, 0 * clips], axis=2)
    assert_close(predict(classifier, stereo), expected, atol=1e-4)
    assert_close(predict(classifier, (clips / 2)[..., None]), expected, atol=1e-4)
    dataset = tf.data.Dataset.from_tensor_slices(stereo).batch(4)
    assert_close(predict(classifier, dataset), expected, atol=1e-4)
    wrong = tf.data.Dataset.from_tensor_slices(np.swapaxes(stereo, 1, 2)).batch(4)
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=r"Channels .* come last"
    ):
        predict(classifier, wrong)


def test_one_class_is_a_yes_or_no():
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=32))
    classifier = fast(ASiTAudioClassifier(backbone, 1, preprocessor, compile=False), AdamW(1e-2))
    labels = [1, 0, 0, 1, 0, 0]
    classifier.fit(tones(), labels, epochs=20, verbose=0)
    logits = predict(classifier, tones())
    assert logits.shape == (6, 1)
    logs = classifier.evaluate(tones(), labels, verbose=0, return_dict=True)
    assert logs["accuracy"] == 1
    loss = np.mean(np.log1p(np.exp(np.where(labels, -1, 1) * logits[:, 0])))
    assert logs["loss"] == pytest.approx(loss, rel=1e-4)
    columns = np.array(labels, "float32")[:, None]
    assert classifier.evaluate(tones(), columns, verbose=0) == pytest.approx([loss, 1], rel=1e-4)
    spectrograms = preprocessor(tones())
    probabilities = ops.convert_to_numpy(classifier.probability_model()(spectrograms))
    assert_close(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-5)
    with pytest.raises(ValueError, match=r"from 0 to 1\. Received: 2 for clip 1"):
        classifier.fit(tones(), [0, 2, 0, 0, 0, 0])


class Batches(keras.utils.PyDataset):
    """Batches of clips, of one length and of several, with labels: lists, arrays, or both."""

    def __init__(self, clips, labels, are_arrays=False):
        super().__init__()
        self.clips, self.labels, self.are_arrays, self.passes = clips, labels, are_arrays, 0

    def __len__(self):
        return len(self.clips) // 2

    def __getitem__(self, index):
        part = slice(2 * index, 2 * index + 2)
        clips = self.clips[part]
        is_array = self.are_arrays and len({len(clip) for clip in clips}) == 1
        return np.stack(clips) if is_array else clips, self.labels[part]

    def on_epoch_end(self):
        self.passes += 1


@pytest.mark.parametrize("kind", ["lists", "arrays", "both"])
def test_py_datasets_and_generators_give_what_arrays_do(kind):
    clips = [clip[:3000] for clip in tones()]
    if kind != "arrays":
        clips[2:] = tones()[2:]
    classifier = build(class_names=NAMES)
    batches = Batches(clips, [NAMES[label] for label in LABELS], kind != "lists")
    expected = predict(classifier, clips)
    assert_close(predict(classifier, batches), expected, atol=1e-4)
    assert_close(predict(classifier, (b for b in batches)), expected, atol=1e-4)
    logs = classifier.evaluate(clips, LABELS, verbose=0)
    assert classifier.evaluate(batches, verbose=0) == pytest.approx(logs, rel=1e-4)
    batches.passes = 0
    history = classifier.fit(batches, epochs=2, validation_data=batches, verbose=0).history
    assert batches.passes == 4
    assert len(history["val_loss"]) == 2
    with pytest.raises(ValueError, match="brings its own `y`"):
        classifier.fit(batches, LABELS)
    with pytest.raises(ValueError, match="'horse' for clip 0"):
        classifier.fit(Batches(clips, ["horse"] * 6))
    with pytest.raises(ValueError, match="no batches, or no more"):
        classifier.predict(batch for batch in ())
    with pytest.raises(ValueError, match="has no batches"):
        classifier.predict(Batches([], []))


def test_a_single_waveform_is_one_row():
    classifier = build()
    (clip,) = tones([3000])
    assert_close(predict(classifier, clip), predict(classifier, clip[None]), atol=1e-5)
    assert predict(classifier, ops.convert_to_tensor(clip)).shape == (1, 3)


@pytest.mark.parametrize("clips", [np.zeros((2, 3000)), np.zeros(3000), [np.zeros(3000)] * 2])
def test_a_call_with_waveforms_says_what_takes_them(clips):
    with pytest.raises(ValueError, match="For waveforms use `predict`, or call the `preprocessor`"):
        build()(clips)


def test_a_preset_starts_a_classifier_of_other_classes(tmp_path):
    build(class_names=NAMES).save_to_preset(str(tmp_path))
    classifier = ASiTAudioClassifier.from_preset(
        str(tmp_path), num_classes=np.int64(5), augmentation=SpecAugment(8, 4)
    )
    assert classifier.output_shape == (None, 5)
    assert classifier.class_names is None
    assert isinstance(classifier.augmentation, SpecAugment)


def test_classes_start_from_those_of_the_same_names():
    source, spectrograms = (
        build(class_names=NAMES),
        np.random.default_rng(1).normal(size=(2, 32, 32)),
    )
    other = ASiTAudioClassifier(source.backbone, 2, class_names=["cow", "cat"])
    other.copy_head(source)
    logits = ops.convert_to_numpy(source(spectrograms))
    assert_close(other(spectrograms), logits[:, [2, 0]], atol=1e-6)
    for arguments, message in [
        ({"class_names": ["cow", "ant"]}, "Unknown to it: 'ant'"),
        ({}, "it has 3 names. Unknown to it: 'classes without names'"),
        ({"class_names": ["cow", "cat"], "pooling": "mean"}, "must have the pooling 'mean'"),
    ]:
        other = ASiTAudioClassifier(source.backbone, 2, **arguments)
        with pytest.raises(ValueError, match=message):
            other.copy_head(source)


def test_fine_tuning_may_change_the_backbone_and_the_precision(tmp_path):
    build(class_names=NAMES).save_to_preset(str(tmp_path))
    load = ASiTAudioClassifier.from_preset
    changed = load(str(tmp_path), num_classes=2, drop_path_rate=0.2, patch_stride=10)
    assert changed.backbone.drop_path_rate == 0.2
    assert changed.backbone.patch_stride == (10, 10)
    half = load(str(tmp_path), dtype="bfloat16")
    assert {half.backbone.variable_dtype, half.output_dense.variable_dtype} == {"bfloat16"}
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        load(str(tmp_path), drop_path_rate=0.2)


def test_a_backbone_without_a_converter_starts_a_classifier_of_spectrograms(tmp_path):
    build().backbone.save_to_preset(str(tmp_path))
    for arguments in ({}, {"spectrogram_shape": (48, 32)}):
        with pytest.raises(ValueError, match="has no `ASiTAudioConverter`"):
            ASiTAudioClassifier.from_preset(str(tmp_path), num_classes=2, **arguments)
        classifier = ASiTAudioClassifier.from_preset(
            str(tmp_path), num_classes=2, preprocessor=None, **arguments
        )
        assert classifier.preprocessor is None


@pytest.mark.slow
def test_quantized_it_is_saved_and_loaded(tmp_path):
    build().save(tmp_path / "float.keras")
    classifier = keras.saving.load_model(tmp_path / "float.keras")
    classifier.quantize("int8")
    expected = classifier.predict(tones())
    classifier.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(loaded.predict(tones()), expected, atol=1e-6)


def test_what_is_saved_leaves_the_choice_of_a_compiler_to_the_backend(tmp_path):
    classifier = build()
    classifier.compile()
    assert classifier.get_compile_config()["jit_compile"] == "auto"
    classifier.compile(jit_compile=False)
    assert classifier.get_compile_config()["jit_compile"] is False
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert loaded.get_compile_config()["jit_compile"] is False


PREDICT = """
import sys
import keras, numpy as np, keras_asit
model = keras.saving.load_model(sys.argv[1])
waveforms = [np.sin(np.arange(n) * 0.1).astype("float32") * 0.3 for n in (6000, 4000)]
np.save(sys.argv[2], model.predict(waveforms, verbose=0))
"""


@pytest.mark.slow
def test_one_file_predicts_the_same_under_each_backend(tmp_path):
    build(class_names=NAMES, augmentation=SpecAugment(8, 4)).save(tmp_path / "classifier.keras")
    backends = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
    if len(backends) == 1:
        pytest.skip("needs another backend")
    outputs = {}
    for backend in backends:
        output = tmp_path / f"{backend}.npy"
        command = [sys.executable, "-c", PREDICT, tmp_path / "classifier.keras", output]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        outputs[backend] = np.load(output)
    for output in outputs.values():
        np.testing.assert_allclose(output, outputs["tensorflow"], atol=1e-5)


@pytest.mark.parametrize(("multi_label", "activation"), [(False, "softmax"), (True, "sigmoid")])
def test_outputs_may_be_probabilities(multi_label, activation):
    classifier = build(multi_label=multi_label, activation=activation)
    spectrograms = ops.convert_to_numpy(classifier.preprocessor(tones()))
    probabilities = predict(classifier, tones())
    assert probabilities.min() > 0 and probabilities.max() < 1
    assert_close(classifier.probability_model()(spectrograms), probabilities, atol=1e-5)
    labels = np.eye(3)[LABELS] if multi_label else LABELS
    expected = np.mean(-np.log(probabilities[np.arange(6), LABELS]))
    if multi_label:
        expected = -np.mean(np.log(np.where(labels == 1, probabilities, 1 - probabilities)))
    assert classifier.evaluate(tones(), labels, verbose=0)[0] == pytest.approx(expected, rel=1e-3)


def test_an_epoch_of_whole_batches_counts_each_once():
    classifier = build(raw=False)
    classifier.compile(keras.optimizers.SGD(0.0), classifier.loss)
    spectrograms = np.random.default_rng(1).normal(size=(6, 32, 32)).astype("float32")
    # TensorFlow knows their size, but not how many: its last step asks for one more, in vain.
    batches = tf.data.Dataset.from_tensor_slices((spectrograms, LABELS))
    batches = batches.batch(2, drop_remainder=True).filter(lambda *_: True)
    history = classifier.fit(batches, verbose=0).history
    options = {"verbose": 0, "return_dict": True}
    expected = classifier.evaluate(spectrograms, LABELS, batch_size=2, **options)["loss"]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert classifier.evaluate(batches, **options)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_fine_tuned_as_full_precision(dtype):
    losses = []
    for each in ("float32", dtype):
        optimizer = AdamW(1e-3)
        if each == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer, initial_scale=4.0)
        classifier = fast(build(dtype=each), optimizer)
        data = {"x": tones(), "y": LABELS, "batch_size": 3, "shuffle": False}
        losses.append(classifier.fit(**data, epochs=25, verbose=0).history["loss"][-1])
        assert int(optimizer.iterations) == 50
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
