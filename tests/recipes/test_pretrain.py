"""The pre-training recipe on a handful of made recordings."""

import csv
import json
import runpy
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipe_processes import start_process
from tensorflow_io_operators import needs_operators, operators_load

from keras_asit.data import audio_dataset, read_record_index, write_records
from keras_asit.models import ASiTAudioConverter, ASiTBackbone

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain.py"
NETWORK = ["--hidden-dim", "16", "--num-layers", "1", "--num-heads", "1"]
HEADS = ["--num-class-prototypes", "32", "--projection-hidden-dim", "16"]
VIEWS = ["--batch-size", "4", "--crop-seconds", "0.5", "--warmup-epochs", "0"]
SMALL = [*NETWORK, *HEADS, *VIEWS]
CROPS = ["--num-short-crops", "1", "--short-crop-seconds", "0.3"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of eight seconds-long recordings, one of them unreadable."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    for index in range(8):
        soundfile.write(folder / f"{index}.wav", generator.uniform(-0.5, 0.5, 16000), 16000)
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def losses(output):
    with open(output / "losses.csv", newline="") as file:
        return [(int(row["epoch"]), row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_pretrains_and_leaves_presets_logs_and_checkpoints(recordings, run_here, tmp_path):
    flags = [*SMALL, "--epochs", 1, "--generation", 2, "--patch", 8, 128, *CROPS]
    with pytest.warns(UserWarning, match="Skipped 1 of 9 audio files"):
        run_here(recordings, *flags, "--output", tmp_path)
    for preset in ("student", "teacher"):
        backbone = ASiTBackbone.from_preset(str(tmp_path / preset))
        assert (backbone.spectrogram_shape, backbone.patch_size) == ((48, 128), (8, 128))
        record = json.loads((tmp_path / preset / "training.json").read_text())
        read = {"source": recordings.name, "clips": 9, "clips that could not be read": 1}
        assert record["data"] == read
        assert record["last_epoch"]["loss"] == float(losses(tmp_path)[-1][1])
        assert record["settings"]["num_short_crops"] == 1
        assert "By `pretrain.py`" in (tmp_path / preset / "README.md").read_text()
    assert [epoch for epoch, _ in losses(tmp_path)] == [0]
    assert (tmp_path / "pretrainer.keras").exists()
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))
    report = (tmp_path / "report.html").read_text()
    for heading in ("The last epoch", "Every epoch", "Reconstruction", "Neighbors", "How it ran"):
        assert f"<h2>{heading}</h2>" in report
    _, skipped = report.split("<h2>Could not be read</h2>")
    assert str(recordings / "broken.wav") in skipped.split("</section>")[0]

    # Once more, it reads nothing and tells the same.
    run_here(recordings, *flags, "--output", tmp_path)
    assert json.loads((tmp_path / "teacher" / "training.json").read_text())["data"] == read


@pytest.mark.filterwarnings("ignore:Skipped 1 of 9")
@pytest.mark.slow
def test_goes_on_from_a_preset(recordings, run_here, complaint, tmp_path):
    preset, output = tmp_path / "preset", tmp_path / "run"
    backbone = ASiTBackbone((48, 128), num_layers=1, num_heads=1, hidden_dim=16, mlp_dim=64)
    backbone.save_to_preset(preset)
    ASiTAudioConverter(num_frames=48, mean=-5.0).save_to_preset(preset)
    flags = [recordings, *HEADS, *VIEWS, "--preset", preset, "--epochs", 1]
    assert "--patch must be that of --preset, 16 16" in complaint(*flags, "--patch", 8, 16)
    assert "--preset has a network of its own" in complaint(*flags, "--num-layers", 2)
    still = ["--learning-rate", 0, "--final-learning-rate", 0]
    run_here(*flags, *still, "--output", output)
    student = ASiTBackbone.from_preset(output / "student")
    for weight, expected in zip(student.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_allclose(weight.ravel(), expected.ravel(), atol=1e-6)
    assert ASiTAudioConverter.from_preset(output / "teacher").mean == -5
    settings = json.loads((output / "teacher" / "training.json").read_text())["settings"]
    assert (settings["mean"], "size" in settings) == (-5, False)


def test_a_run_that_ends_while_the_learning_rate_rises_is_warned_of(recordings, complaint):
    with pytest.warns(UserWarning, match="In --epochs 2 the learning rate .* --warmup-epochs 10"):
        complaint(recordings, *NETWORK, "--epochs", 2, "--batch-size", 100)


@pytest.mark.slow
def test_goes_on_without_optional_packages_and_names_each_once(
    recordings, run_here, tmp_path, monkeypatch, capsys
):
    packages = ("matplotlib", "tensorboard")
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.warns(UserWarning, match="Skipped 1 of 9"):
        run_here(recordings, *SMALL, "--epochs", 1, "--output", tmp_path)
    errors = capsys.readouterr().err
    assert all(errors.count(f"without {package} there is no") == 1 for package in packages)
    assert not (tmp_path / "logs").exists()
    assert "Reconstruction" not in (tmp_path / "report.html").read_text()
    assert [epoch for epoch, _ in losses(tmp_path)] == [0]


@pytest.mark.filterwarnings("ignore:Skipped 1 of 9")
@pytest.mark.slow
def test_goes_on_from_the_last_epoch_after_being_killed(recordings, run_here, tmp_path):
    arguments = [recordings, *SMALL, "--epochs", 4, "--output", tmp_path]
    process = start_process([RECIPE, *arguments], tmp_path / "log")
    checkpoints = tmp_path / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("checkpoint-000001-*")):
        time.sleep(0.1)
    process.kill()
    process.wait()

    printed = run_here(*arguments)
    assert f"Going on in epoch 2 after batch 0, from {checkpoints}." in printed
    assert "Epoch 1/4" not in printed
    assert [epoch for epoch, _ in losses(tmp_path)][-1] == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "100"], "do not fill one batch"),
        (["--drop-ratio", "1.5"], "`drop_ratio` must be a number between 0 and 0.9"),
        (["--batch-size", "0"], "must be at least 1"),
        (["--size", "huge"], "invalid choice"),
        (["--max-seconds", "0.4"], "`max_seconds` must be a number of at least 0.5"),
        (["--learning-rate", "-1"], "--learning-rate: must be finite and at least 0, not -1"),
        (["--weight-decay", "-1"], "--weight-decay: must be finite and at least 0, not -1"),
        (["--mean", "nan"], "--mean: must be finite, not nan"),
        (["--adapt", "--crop-seconds", "0.1"], "--crop-seconds must be at least 0.175, for one"),
        (["--crop-seconds", "0.2", "--patch", 32, 16], "--crop-seconds must be at least 0.335"),
        ([*CROPS, "--short-crop-seconds", "0.1"], "--short-crop-seconds must be at least 0.175"),
        (["--adapt", "--crop-seconds", "inf"], "at least 0.025, not inf"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_flag(
    recordings, flags, message, complaint, tmp_path
):
    output = tmp_path / "run"
    assert message in complaint(recordings, *SMALL, *flags, "--output", output)
    assert not output.exists()


def test_says_in_one_line_that_a_folder_has_no_audio(tmp_path, complaint):
    assert str(tmp_path) in complaint(tmp_path)


def test_says_in_one_line_that_records_are_not_finished(tmp_path, complaint):
    (tmp_path / "plan.jsonl").touch()
    printed = complaint(tmp_path)
    assert "has no index.json" in printed
    assert "call `write_records` again" in printed


def test_a_folder_of_audio_may_have_an_index_of_its_own(recordings, tmp_path, complaint):
    shutil.copytree(recordings, tmp_path, dirs_exist_ok=True)
    (tmp_path / "index.json").write_text("[]")
    printed = complaint(tmp_path, *SMALL, "--drop-ratio", "1.5")
    assert "`drop_ratio`" in printed


def test_says_in_one_line_that_no_recording_can_be_read(tmp_path, complaint):
    for index in range(4):
        (tmp_path / f"{index}.wav").write_bytes(b"no audio")
    printed = complaint(tmp_path, *SMALL, "--output", tmp_path / "run")
    assert printed.startswith("pretrain.py: Of 4 audio files, 0 could be read")


@pytest.fixture(scope="module")
def records(recordings, tmp_path_factory):
    """A folder of the recordings as log-mels."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.warns(UserWarning, match="Skipped 1 of 9"):
        write_records(recordings, folder, content="log_mel", num_workers=1, verbose=0)
    return folder


def test_adapts_to_the_source_before_anything_else(recordings, capsys, complaint):
    converter = ASiTAudioConverter()
    with pytest.warns(UserWarning, match="Skipped 1 of 9"):
        converter.adapt(audio_dataset(recordings))
        complaint(recordings, *SMALL, "--adapt", "--drop-ratio", "1.5")
    expected = f"--mean {converter.mean} --standard-deviation {converter.standard_deviation}"
    assert expected in capsys.readouterr().out


def test_records_of_another_front_end_are_refused_in_one_line(records, complaint):
    printed = complaint(records, *SMALL, "--sample-rate", "8000")
    assert "sample_rate=16000 instead of 8000" in printed


def test_records_cannot_be_cut_otherwise(records, complaint):
    printed = complaint(records, *SMALL, "--max-seconds", "9")
    assert "--max-seconds is for audio files" in printed


@pytest.mark.slow
def test_pretrains_on_records_and_keeps_the_statistics(records, tmp_path, run_here):
    run_here(records, *SMALL, "--epochs", 1, "--adapt", "--output", tmp_path)
    index = read_record_index(records)
    converter = ASiTAudioConverter.from_preset(str(tmp_path / "teacher"))
    assert converter.mean == index["mean"]
    assert converter.standard_deviation == index["standard_deviation"]


def test_help_names_every_constant_of_the_method(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(RECIPE), run_name="__main__")
    printed = capsys.readouterr().out
    for flag in ("--drop-ratio", "--teacher-momentum", "--final-weight-decay", "--num-short-crops"):
        assert flag in printed


@needs_operators
@pytest.mark.slow
def test_pretrains_alike_with_files_decoded_by_tensorflow_io(recordings, run_here, tmp_path):
    arguments = [*SMALL, "--num-layers", 1, "--hidden-dim", 48, "--epochs", 1, "--adapt"]
    for decoder in ("soundfile", "tensorflow_io"):
        output = ["--output", tmp_path / decoder]
        with pytest.warns(UserWarning, match="Skipped 1 of 9 audio files"):
            run_here(recordings, *arguments, "--decoder", decoder, *output)
        assert (tmp_path / decoder / "pretrainer.keras").exists()
    assert losses(tmp_path / "soundfile") == losses(tmp_path / "tensorflow_io")


@pytest.mark.skipif(operators_load(), reason="tensorflow-io's operators load here")
def test_says_what_tensorflow_io_needs_where_it_does_not_load(recordings, tmp_path, complaint):
    printed = complaint(recordings, *SMALL, "--decoder", "tensorflow_io", "--output", tmp_path)
    assert "pip install 'keras-asit[tfio]'" in printed


def test_records_are_read_without_a_decoder(records, tmp_path, complaint):
    printed = complaint(records, *SMALL, "--decoder", "tensorflow_io", "--output", tmp_path)
    assert "--decoder is for audio files" in printed
