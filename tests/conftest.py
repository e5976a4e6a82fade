"""What every test starts from: fixed seeds, and the numeric references."""

import os
from pathlib import Path

# Tests compile much and compute little: without this, XLA takes five times as long to compile.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

import keras
import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Make Python's, NumPy's and the backend's random numbers the same in every run."""
    keras.utils.set_random_seed(1)


@pytest.fixture
def golden_forward():
    """Inputs, activations and outputs of the reference model, by name."""
    return np.load(GOLDEN / "forward.npz")


@pytest.fixture
def golden_trajectory():
    """Six training steps of the reference model: batches, constants, losses, weights."""
    return np.load(GOLDEN / "trajectory.npz")


@pytest.fixture
def golden():
    """The folder of the numeric references."""
    return GOLDEN
