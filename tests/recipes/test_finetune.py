"""The recipe that fine-tunes, on miniature copies of each data set."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import data_set_layouts as layouts
import keras
import numpy as np
import pytest
from splits import divide

from keras_asit.data import LabeledClips
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "finetune.py"
QUICK = ["--epochs", 2, "--batch-size", 4, "--seconds", 0.355, "--max-frames", 8, "--max-mels", 4]
NETWORK = ["--hidden-dim", 16, "--num-layers", 1, "--num-heads", 1]


def read_report(output):
    """Return the report, which may hold nothing that is not JSON."""
    return json.loads((output / "report.json").read_text(), parse_constant=pytest.fail)


def check_results(output, metrics, classes):
    """Check that an output folder holds everything that the recipe promises."""
    results = read_report(output)
    assert not (output / "checkpoints").exists()
    assert set(results) == {"clips", *metrics}
    assert all(0 <= results[name] <= 1 for name in metrics if name != "d_prime")
    with (output / "classes.csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == classes
    assert (output / "confusion.png").exists() == ("accuracy" in metrics)
    assert len((output / "epochs.csv").read_text().splitlines()) == 3
    assert list((output / "logs").rglob("events.out.tfevents.*"))
    assert keras.saving.load_model(output / "classifier.keras").class_names == classes
    assert ASiTAudioClassifier.from_preset(str(output / "preset")).class_names == classes
    record = json.loads((output / "preset" / "training.json").read_text())
    assert record["results"] == {key: value for key, value in results.items() if value is not None}
    assert record["data"]["recordings for test"] == results["clips"]
    report = (output / "report.html").read_text()
    assert all(f"<h2>{name}</h2>" in report for name in ("Results", "Every epoch", "Classes"))
    assert ("<h2>Confusion</h2>" in report) == ("accuracy" in metrics)
    return results


RANKING = {"mean_average_precision", "mean_auc", "d_prime"}
SINGLE = {"accuracy", *RANKING}


@pytest.mark.slow
def test_folders_of_classes_from_a_preset_learn(run_here, tmp_path):
    sounds, preset = layouts.write_class_folders(tmp_path / "sounds", 20), str(tmp_path / "preset")
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=2, hidden_dim=32, mlp_dim=64)
    backbone.save_to_preset(preset)
    ASiTAudioConverter(num_frames=48, num_mels=16).save_to_preset(preset)
    output = tmp_path / "run"
    flags = [*QUICK, "--epochs", 8, "--learning-rate", 3e-3, "--mixup", 0.2, "--layer-decay", 0.8]
    run_here(sounds, "--preset", preset, "--output", output, *flags)
    results = read_report(output)
    assert results["clips"] == 8
    assert results["accuracy"] == results["mean_auc"] == 1.0
    assert results["d_prime"] is None


@pytest.mark.slow
def test_the_head_of_a_preset_is_kept_by_the_names_of_classes(run_here, complaint, tmp_path):
    sounds, preset = layouts.write_class_folders(tmp_path / "sounds", 20), str(tmp_path / "preset")
    classes = sorted(path.name for path in sounds.iterdir())
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=2, hidden_dim=32, mlp_dim=64)
    converter = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=16))
    names = ["other", *reversed(classes)]
    source = ASiTAudioClassifier(backbone, len(names), converter, class_names=names, pooling="mean")
    source.save_to_preset(preset)
    flags = [sounds, "--keep-head", "--epochs", 1, "--learning-rate", 0, "--weight-decay", 0]
    run_here(*flags, "--preset", preset, "--output", tmp_path / "run")
    kept = ASiTAudioClassifier.from_preset(str(tmp_path / "run" / "preset"))
    assert (kept.pooling, kept.class_names) == ("mean", classes)
    order = [names.index(name) for name in classes]
    for weight, expected in zip(kept.output_dense.get_weights(), source.output_dense.get_weights()):
        np.testing.assert_array_equal(weight, expected[..., order])
    assert "--keep-head needs --preset" in complaint(*flags)
    assert "leave out --pooling" in complaint(*flags, "--preset", preset, "--pooling", "cls")


@pytest.mark.slow
def test_clips_of_a_second_cost_a_second(run_here, tmp_path):
    preset, output = str(tmp_path / "preset"), tmp_path / "run"
    for index in range(10):
        layouts.write_tone(tmp_path / "sounds" / "ab"[index % 2] / f"{index}.wav", index % 2, 1.0)
    backbone = ASiTBackbone((592, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=16)
    backbone.save_to_preset(preset)
    ASiTAudioConverter(num_mels=16).save_to_preset(preset)
    flags = ["--epochs", 1, "--validation-share", 0]
    run_here(tmp_path / "sounds", "--preset", preset, "--output", output, *flags)
    tuned = ASiTAudioClassifier.from_preset(str(output / "preset"))
    assert tuned.preprocessor.audio_converter.num_frames == 98
    assert tuned.backbone.grid_shape[0] == 96 // 16


@pytest.mark.slow
def test_goes_on_without_optional_packages_and_names_each_once(
    run_here, tmp_path, monkeypatch, capsys
):
    sounds, output = layouts.write_class_folders(tmp_path / "sounds", 20), tmp_path / "run"
    packages = ("matplotlib", "sklearn", "tensorboard")
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    run_here(sounds, "--output", output, *QUICK, *NETWORK)
    errors = capsys.readouterr().err
    assert all(errors.count(f"without {package} there is no") == 1 for package in packages)
    assert set(read_report(output)) == {"clips", *SINGLE}
    for name in ("classes.csv", "confusion.png", "logs"):
        assert not (output / name).exists()


@pytest.mark.slow
def test_esc50_is_tested_fold_by_fold(run_here, tmp_path, complaint):
    folder = layouts.write_esc50(tmp_path / "esc50")
    output = tmp_path / "run"
    printed = run_here(folder, "--dataset", "esc50", "--output", output, *QUICK, *NETWORK)
    assert "Accuracy over 5 folds" in printed
    for fold in range(1, 6):
        check_results(output / f"fold{fold}", SINGLE, ["dog", "vacuum_cleaner"])

    # Folds that are finished are kept, and the run goes on at the others.
    shutil.rmtree(output / "fold5")
    (output / "fold4" / "report.json").write_text('{"accuracy": 1.0}')
    printed = run_here(folder, "--dataset", "esc50", "--output", output, *QUICK, *NETWORK)
    assert printed.count("Results: ") == 1
    assert read_report(output / "fold4") == {"accuracy": 1.0}
    assert "Accuracy over 5 folds" in printed
    assert complaint(folder, "--dataset", "esc50", "--output", output).endswith(
        "holds classifier.keras of another run; delete it or choose another --output"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "write", "classes"),
    [
        ("speech-commands", layouts.write_speech_commands, ["no", "yes"]),
        ("voxceleb1", layouts.write_voxceleb1, ["id10001", "id10002"]),
        ("spoken-digits", layouts.write_spoken_digits, ["0", "1"]),
    ],
)
def test_data_sets_with_splits_of_their_own(run_here, tmp_path, dataset, write, classes):
    output = tmp_path / "run"
    run_here(write(tmp_path / "data"), "--dataset", dataset, "--output", output, *QUICK, *NETWORK)
    check_results(output, SINGLE, classes)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["audioset", "audioset-full"])
def test_audioset_with_several_labels_a_clip(run_here, tmp_path, dataset):
    folder = layouts.write_audioset(tmp_path / "data")
    output = tmp_path / "run"
    manifests = [folder / "train.json", "--test", folder / "eval.json"]
    index = ["--class-index", folder / "class_labels_indices.csv"]
    run_here(*manifests, *index, "--dataset", dataset, "--output", output, *QUICK, *NETWORK)
    check_results(output, RANKING, ["Speech", "Music, popular", "Human sounds"])


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "test"])
def test_several_labels_a_clip_but_one_in_another_split(run_here, tmp_path, split):
    folder = layouts.write_audioset(tmp_path / "data")
    clips = json.loads((folder / "train.json").read_text())["data"]
    single = [clip for clip in clips if "," not in clip["labels"]]
    (folder / "single.json").write_text(json.dumps({"data": single}))
    splits = {"validation": "eval.json", "test": "eval.json", split: "single.json"}
    manifests = [folder / "train.json"]
    manifests += ["--validation", folder / splits["validation"], "--test", folder / splits["test"]]
    index = ["--class-index", folder / "class_labels_indices.csv"]
    output = tmp_path / "run"
    run_here(*manifests, *index, "--dataset", "audioset", "--output", output, *QUICK, *NETWORK)
    check_results(output, RANKING, ["Speech", "Music, popular", "Human sounds"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--freeze"],
        ["--lora-rank", 2],
        ["--averaging", 0.9],
        ["--averaging", 0.9, "--layer-decay", 0.75, "--freeze"],
        ["--averaging", 0.9, "--layer-decay", 0.75, "--lora-rank", 2],
    ],
)
def test_parts_of_the_network_or_averages_of_it(run_here, tmp_path, flags):
    sounds, output = layouts.write_class_folders(tmp_path / "sounds", 8), tmp_path / "run"
    run_here(sounds, "--output", output, *QUICK, *NETWORK, *flags, "--schedule", "cosine")
    check_results(output, SINGLE, ["cat", "dog"])


def test_says_in_one_line_what_is_wrong(tmp_path, complaint):
    def complain(*arguments):
        return complaint(*arguments, "--output", tmp_path / "run")

    assert "absent" in complain(tmp_path / "absent")
    assert "invalid choice: 'esc-50'" in complain(tmp_path, "--dataset", "esc-50")
    assert "meta/esc50.csv' does not exist; check the path" in complain(
        tmp_path, "--dataset", "esc50"
    )
    sounds = layouts.write_class_folders(tmp_path / "sounds", 2)
    assert "too few" in complain(sounds)
    assert "fewer than 3" in complain(sounds, "--labels-per-class", 3)
    assert "must be at least 1" in complain(sounds, "--epochs", 0)
    assert "--lora-rank: must be at least 0, not -1" in complain(sounds, "--lora-rank", -1)
    assert "--overlap: must be between 0 and 0.9, not 0.95" in complain(sounds, "--overlap", 0.95)
    for flag, value, accepted in [
        ("--mean", "nan", "finite"),
        ("--standard-deviation", 0, "finite and at least 1e-06"),
        ("--seconds", 0.01, "finite and at least 0.025"),
        ("--seconds", "inf", "finite and at least 0.025"),
        ("--label-smoothing", 3, "between 0 and 1"),
        ("--layer-decay", 2, "between 0 and 1"),
    ]:
        assert f"{flag}: must be {accepted}, not {value}" in complain(sounds, flag, value)
    assert "Received: preset='nowhere'" in complain(
        layouts.write_class_folders(tmp_path / "more", 20), "--preset", "nowhere"
    )
    more = tmp_path / "more"
    assert "Give --from-scratch" in complaint(
        more, "--preset", "asit_tiny_16k", "--output", tmp_path / "random"
    )
    assert "unrecognized arguments: --epoch" in complain(more, "--epoch", 1)
    shutil.rmtree(tmp_path / "more" / "dog")
    assert "All clips are of one class, " in complain(more)
    assert "File exists" in complaint(
        sounds, "--output", layouts.write_tone(tmp_path / "file.wav", 1)
    )


def test_another_run_is_not_overwritten(tmp_path, complaint):
    (tmp_path / "report.json").touch()
    printed = complaint(tmp_path, "--output", tmp_path)
    assert printed.endswith(
        "holds report.json of another run; delete it or choose another --output"
    )


def test_one_label_in_training_but_several_in_the_test_are_refused(tmp_path, complaint):
    sounds = layouts.write_class_folders(tmp_path / "sounds", 2)
    manifest = sounds / "test.csv"
    paths = sorted(sounds.rglob("*.wav"))
    manifest.write_text(f"path,labels\n{paths[0]},cat;dog\n{paths[1]},cat\n")
    flags = ["--test", manifest, "--output", tmp_path / "run"]
    printed = complaint(sounds, *flags)
    assert "Some clips for test have several labels or none" in printed


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_that_is_not_finite_saves_nothing(tmp_path, epochs, complaint):
    sounds, output = layouts.write_class_folders(tmp_path / "sounds", 4), tmp_path / "run"
    flags = [*QUICK, *NETWORK, "--batch-size", 8, "--validation-share", 0.2, "--epochs", epochs]
    flags += ["--learning-rate", 1e38, "--output", output]
    printed = complaint(sounds, *flags)
    assert "not finite" in printed
    # The backends differ in which step overflows first.
    assert re.search(rf"epoch [1-{epochs}]\b", printed)
    assert printed.endswith("Lower --learning-rate.")
    assert not {"classifier.keras", "preset", "report.json", "best.weights.h5"} & {
        path.name for path in output.iterdir()
    }


def test_says_in_one_line_that_no_clip_can_be_read(tmp_path, complaint):
    sounds = layouts.write_class_folders(tmp_path / "sounds")
    for path in sounds.rglob("*.wav"):
        path.write_bytes(b"no audio")
    flags = [*QUICK, *NETWORK, "--validation-share", 0, "--output", tmp_path / "run"]
    printed = complaint(sounds, *flags)
    assert printed.startswith("finetune.py: Of 8 audio files, 0 could be read")


def test_classes_of_which_nothing_is_tested_are_named():
    labels = [(0,)] * 5 + [(1,)]
    clips = LabeledClips([f"{index}.wav" for index in range(6)], labels, ["dog", "cat"])
    with pytest.warns(UserWarning, match="Of 1 classes no clip is set apart .*none: cat"):
        train, test = divide(clips, 0.2, seed=1)
    assert sorted(train.labels) == [(0,)] * 4 + [(1,)] and test.labels == [(0,)]
