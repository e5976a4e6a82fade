"""What nearest neighbors share, where it is known."""

from pathlib import Path

import numpy as np
import soundfile
from feature_neighbors import Sounds, effective_rank, standardize

RECIPE = Path(__file__).parents[2] / "recipes" / "benchmarks" / "feature_neighbors.py"


def write_digits(folder):
    """Write two digits by two speakers, twice: the first is short, the second speaker is loud."""
    folder.mkdir(parents=True)
    paths = [f"{digit}_{name}_{i}.wav" for digit in "01" for name in ("ann", "bob") for i in "01"]
    for path in paths:
        digit, name, _ = path.split("_")
        amplitude = 0.5 if name == "bob" else 0.1
        wave = amplitude * np.sin(np.arange(4000 if digit == "0" else 8000))
        soundfile.write(folder / path, wave, 8000)
    return [str(folder / path) for path in paths]


def test_shares_are_those_of_what_the_features_tell(tmp_path):
    sounds = Sounds(write_digits(tmp_path / "recordings"))
    digit = np.repeat([0, 1], 4)
    speaker = np.tile(np.repeat([0, 1], 2), 2)
    by_digit = np.eye(2)[digit] + 0.1 * np.eye(2)[1 - speaker]
    assert sounds.shares_of_nearest(by_digit) == ["100.0", "100.0", "100.0", "100.0", "100.0"]
    digits, speakers, lengths, loudness, _ = sounds.shares_of_nearest(np.eye(2)[speaker])
    assert (speakers, loudness) == ("100.0", "100.0")
    assert digits == lengths
    # Of seven others, three say the same digit; of four by the other speaker, two.
    assert sounds.shares_of_all() == ["42.9", "42.9", "42.9", "42.9", "50.0"]


def test_a_constant_feature_has_no_say():
    vectors = np.full((2100, 2), -15.942385, "float32")
    vectors[:, 1] = np.tile([-1, 1], 1050)
    expected = np.stack([np.zeros(2100), np.tile([-1, 1], 1050)], axis=1)
    np.testing.assert_allclose(standardize(vectors), expected, atol=1e-6)


def test_effective_rank_counts_directions():
    vectors = np.eye(8)
    np.testing.assert_allclose(effective_rank(vectors), 8)
    vectors[4:] = vectors[:4]
    np.testing.assert_allclose(effective_rank(vectors), 4)
