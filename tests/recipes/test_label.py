"""The recipe that labels recordings: real audio, every form of output, interrupted and resumed."""

import csv
import json
import re
import shutil
from pathlib import Path

import keras
import pytest
from pyarrow import parquet

from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "label.py"
AUDIO = RECIPE.parent / "quickstart_audio"
NAMES = ["drum", "bass", "glitch, loud"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The folder of a preset and the .keras file of a classifier of three classes."""
    folder = tmp_path_factory.mktemp("classifier")
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=16))
    classifier = ASiTAudioClassifier(backbone, 3, preprocessor, class_names=NAMES)
    classifier.save_to_preset(str(folder / "preset"))
    classifier.save(folder / "classifier.keras")
    return folder


@pytest.fixture
def recordings(tmp_path):
    """Five recordings in two folders, and one that cannot be read."""
    folder = tmp_path / "recordings"
    for name in ("drum", "bass"):
        (folder / name).mkdir(parents=True)
        for path in sorted((AUDIO / name).iterdir())[: 3 if name == "drum" else 2]:
            shutil.copy(path, folder / name)
    (folder / "bass" / "broken.wav").write_bytes(b"no audio")
    return folder


def names_in(folder):
    return sorted(str(path) for path in folder.rglob("*.ogg"))


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_form_of_output_says_the_same(classifier, recordings, tmp_path, run_here, capsys):
    flags = [recordings, "--preset", classifier / "preset", "--top", 2, "--output"]
    printed = run_here(*flags, tmp_path / "labels.csv")
    assert "5 of 6 recordings labeled in" in printed
    errors = capsys.readouterr().err
    assert "1 of 6 recordings could not be read:" in errors
    assert re.search(r"broken.wav cannot be decoded: .*not recogni", errors)
    rows = read_csv(tmp_path / "labels.csv")
    assert [row["path"] for row in rows] == names_in(recordings)
    assert list(rows[0]) == [
        "path",
        "onset",
        "offset",
        "label_1",
        "probability_1",
        "label_2",
        "probability_2",
    ]
    expected = [
        {row["label_1"]: float(row["probability_1"]), row["label_2"]: float(row["probability_2"])}
        for row in rows
    ]

    lines = run_here(*flags, "-").splitlines()
    assert [json.loads(line)["path"] for line in lines] == names_in(recordings)
    assert [json.loads(line)["labels"] for line in lines] == expected

    run_here(*flags, tmp_path / "labels.json")
    assert json.loads((tmp_path / "labels.json").read_text()) == [
        json.loads(line) for line in lines
    ]

    run_here(*flags, tmp_path / "audacity")
    files = sorted((tmp_path / "audacity").rglob("*.txt"))
    assert [file.relative_to(tmp_path / "audacity").with_suffix("") for file in files] == [
        Path(path).relative_to(recordings) for path in names_in(recordings)
    ]
    onset, offset, text = files[0].read_text().rstrip("\n").split("\t")
    assert (float(onset), float(offset)) == (0, float(rows[0]["offset"]))
    assert text == ", ".join(f"{name} {value:.2f}" for name, value in expected[0].items())

    run_here(*flags, tmp_path / "labels.parquet")
    table = parquet.read_table(tmp_path / "labels.parquet").to_pylist()
    assert [row["probability_1"] for row in table] == [float(row["probability_1"]) for row in rows]


def test_windows_are_rows_and_files_may_be_given(classifier, recordings, tmp_path, run_here):
    path = names_in(recordings)[0]
    flags = ["--preset", classifier / "classifier.keras", "--windows", 0.2, "--overlap", 0.5]
    run_here(path, *flags, "--output", tmp_path / "labels.csv")
    rows = read_csv(tmp_path / "labels.csv")
    assert len(rows) > 1 and {row["path"] for row in rows} == {path}
    assert float(rows[1]["onset"]) <= 0.1
    (line,) = run_here(path, *flags, "--output", "-").splitlines()
    windows = json.loads(line)["windows"]
    assert [window["onset"] for window in windows] == [float(row["onset"]) for row in rows]
    run_here(path, *flags, "--output", tmp_path / "labels.txt", "--threshold", 0.99)
    assert len((tmp_path / "labels.txt").read_text().splitlines()) == len(rows)
    run_here(path, *flags, "--rows", "maximum", "--output", tmp_path / "one.csv")
    assert len(read_csv(tmp_path / "one.csv")) == 1


def test_an_interrupted_run_goes_on_without_repeating(
    classifier, recordings, tmp_path, run_here, monkeypatch
):
    output = tmp_path / "labels.csv"
    flags = [recordings, "--preset", classifier / "preset", "--part-size", 2, "--output", output]
    from keras_asit.evaluation import labeling

    spans = labeling.label_spans

    def interrupted(*args, **kwargs):
        for index, result in spans(*args, **kwargs):
            if index == 5:
                raise KeyboardInterrupt
            yield index, result

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as exit:
        patch.setattr(labeling, "label_spans", interrupted)
        run_here(*flags)
    assert exit.value.code == 130 and not output.exists()
    parts = sorted((tmp_path / "labels.csv.parts").glob("*.jsonl"))
    assert [part.name for part in parts] == ["000000000.jsonl", "000000002.jsonl"]
    # Whoever labeled the first part again would not find what this puts in it.
    parts[0].write_text(parts[0].read_text().replace("drum", "kept"))
    printed = run_here(*flags)
    assert "4 of 6 recordings were done before" in printed and "5 of 6 recordings" in printed
    rows = read_csv(output)
    assert [row["path"] for row in rows] == names_in(recordings)
    kept = ["kept" in row.values() for row in rows]
    assert kept == [True, True, False, False, False]
    assert not (tmp_path / "labels.csv.parts").exists()


def test_folders_manifests_and_files_go_together(classifier, recordings, tmp_path, run_here):
    paths = names_in(recordings)
    manifest = tmp_path / "clips.TSV"
    manifest.write_text(f"path\tlabel\n{paths[3]}\tdrum\n")
    flags = ["--preset", classifier / "preset", "--output", "-"]
    lines = run_here(manifest, paths[4], recordings / "bass", *flags).splitlines()
    assert [json.loads(line)["path"] for line in lines] == [paths[3], paths[4], *paths[:2]]


def test_what_failed_stands_in_the_way_of_nothing(
    classifier, recordings, tmp_path, run_here, complaint
):
    broken, output = recordings / "bass" / "broken.wav", tmp_path / "labels.csv"
    flags = [broken, "--preset", classifier / "preset", "--output", output]
    assert "`window_seconds` must be" in complaint(*flags, "--windows", 60)
    assert "None of the recordings could be read" in complaint(*flags)
    shutil.copy(names_in(recordings)[0], broken)
    assert "1 of 1 recordings labeled" in run_here(*flags)


def test_says_in_one_line_what_is_wrong(classifier, recordings, tmp_path, complaint):
    (tmp_path / "done.csv").touch()
    broken = recordings / "bass" / "broken.wav"
    path = names_in(recordings)[0]
    for source, preset, output, message in [
        (recordings, "preset", "done.csv", "done.csv exists already; delete it"),
        (recordings, "preset", "labels.txt", "for 6, give a folder: a name without a suffix"),
        (recordings, "preset", "labels.xml", "must end in .csv, .parquet, .json or .txt"),
        (broken, "preset", "labels.csv", "None of the recordings could be read. "),
        (broken, "preset", "-", "None of the recordings could be read. "),
        (tmp_path / "absent.wav", "preset", "labels.csv", "1 of 1 files that do not exist"),
        (path, "absent.keras", "labels.csv", "absent.keras"),
    ]:
        output = output if output == "-" else tmp_path / output
        arguments = [source, "--preset", classifier / preset, "--output", output]
        assert message in complaint(*arguments), message


def test_a_preset_of_something_else_is_told(recordings, complaint):
    for preset in ("asit_small_free_16k", "asit_base_16k_audioset_strong"):
        printed = complaint(recordings, "--preset", preset)
        assert f"{preset} is not a preset of an ASiTAudioClassifier" in printed
