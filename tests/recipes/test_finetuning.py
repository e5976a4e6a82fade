"""The benchmark of fine-tuning, in miniature."""

import json
from pathlib import Path

import data_set_layouts
import numpy as np
import pytest

from keras_asit.models import ASiTAudioClassifier, ASiTBackbone

RECIPE = Path(__file__).parents[2] / "recipes" / "benchmarks" / "finetuning.py"


@pytest.mark.slow
def test_both_starts_have_the_same_clips_and_steps_and_are_trained_once(preset, tmp_path, run_here):
    data_set_layouts.write_spoken_digits(tmp_path / "fsdd" / "recordings", range(15))
    output = tmp_path / "runs"
    flags = [preset, "--data", tmp_path, "--tasks", "fsdd-digits", "--labels", 4, "--seeds", 1]
    flags += ["--steps", 2, "--batch-size", 4, "--output", output]
    printed = run_here(*flags).splitlines()
    assert printed[0] == "| task | 4 labels, from scratch | 4 labels, pre-trained |"
    scratch, trained = (
        output / f"fsdd-digits-test-4-{start}-0" for start in ("from-scratch", "pre-trained")
    )
    accuracies = [
        f"{100 * json.loads((folder / 'report.json').read_text())['accuracy']:.1f}"
        for folder in (scratch, trained)
    ]
    assert printed[-1] == f"| fsdd-digits | {accuracies[0]} | {accuracies[1]} |"
    for name in ("train.csv", "test.csv"):
        assert (scratch / name).read_text() == (trained / name).read_text()
    assert len((trained / "train.csv").read_text().splitlines()) == 1 + 2 * 4
    # Two steps at small rates leave weights near to where they began.
    given = ASiTBackbone.from_preset(preset).get_weights()
    distances = [
        sum(
            np.abs(weight - start).sum()
            for weight, start in zip(
                ASiTAudioClassifier.from_preset(str(folder / "preset")).backbone.get_weights(),
                given,
            )
        )
        for folder in (scratch, trained)
    ]
    assert distances[1] < distances[0] / 10
    times = [path.stat().st_mtime for path in sorted(output.rglob("*.keras"))]
    assert run_here(*flags).splitlines()[-1] == printed[-1]
    assert [path.stat().st_mtime for path in sorted(output.rglob("*.keras"))] == times
