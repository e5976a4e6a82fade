"""X-ARES and mteb read a preset by their own protocols, and run it on a small task.

Neither is among the packages for tests. Where they are installed, beside pytest:
`python -m pytest -m "slow or not slow" tests/recipes/test_harnesses.py`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_asit import hear
from keras_asit.models import ASiTBackbone

ROOT = Path(__file__).parents[2]


def run(folder, *command, **environment):
    """Return what a command in the environment's Python prints, run in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "", **environment}
    command = [sys.executable, *map(str, command)]
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not finished.returncode, finished.stdout[-3000:] + finished.stderr[-3000:]
    return finished.stdout


# --- X-ARES ---


@pytest.fixture(scope="module")
def encoder(preset):
    pytest.importorskip("torch")
    from xares_encoder import ASiTEncoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_ASIT_PRESET", preset)
        return ASiTEncoder()


def test_an_encoder_gives_timestamp_embeddings_a_hop_apart(encoder):
    import torch

    audio = 0.1 * torch.randn(2, 50000, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        embeddings = encoder(audio)
    expected, times = hear.get_timestamp_embeddings(audio.numpy(), encoder.model)
    np.testing.assert_allclose(embeddings.numpy(), expected, atol=1e-5)
    assert embeddings.shape == (2, 78, encoder.output_dim)
    assert encoder.sampling_rate == 16000
    np.testing.assert_allclose(np.diff(times), encoder.hop_size_in_ms)


def test_another_network_has_another_class_name_for_x_ares_keeps_embeddings_by_it(preset, tmp_path):
    pytest.importorskip("torch")
    from xares_encoder import ASiTEncoder

    other = tmp_path / "other"
    shutil.copytree(preset, other)
    keras.utils.set_random_seed(2)
    ASiTBackbone.from_preset(preset, load_weights=False).save_to_preset(str(other))
    names = [type(ASiTEncoder(str(folder))).__name__ for folder in (preset, preset, other)]
    assert names[0] == names[1] != names[2]
    assert all(name.endswith("Encoder") for name in names)


@pytest.mark.slow
def test_x_ares_is_content_and_prints_scores(preset, tmp_path):
    pytest.importorskip("xares")
    files = [f"recipes/harnesses/xares_{name}.py" for name in ("encoder", "quickstart")]
    command = ["-m", "xares.run", "--max-jobs", 0, *files]
    printed = run(tmp_path, *command, KERAS_ASIT_PRESET=preset)
    scores = re.search(r"Quickstart +(0\.\d+) +(0\.\d+)", printed)
    # So small a network's MLP learns little in X-ARES's ten epochs. 14 categories: whatever hears
    # anything at all has neighbors above chance.
    assert scores and float(scores[2]) > 0.15, printed[-3000:]


# --- mteb ---


@pytest.mark.slow
def test_mteb_runs_a_preset_and_prints_a_score(preset, tmp_path):
    pytest.importorskip("mteb")
    recipe = ROOT / "recipes" / "harnesses" / "mteb_model.py"
    printed = run(tmp_path, recipe, preset, MTEB_CACHE=str(tmp_path))
    score = re.search(r"^QuickstartAudio: (0\.\d+)$", printed, flags=re.MULTILINE)
    assert score and float(score[1]) > 0.15, printed[-3000:]


def test_mteb_gets_scene_embeddings_of_recordings_of_any_rate_and_number_of_channels(preset):
    pytest.importorskip("mteb")
    from mteb_model import ASiTModel

    model = ASiTModel(preset)
    tone = (0.1 * np.sin(np.arange(32000) * 0.2)).astype("float32")
    items = [
        {"array": tone, "sampling_rate": 16000},
        {"array": np.stack([tone, tone]).tolist(), "sampling_rate": 16000},
        {"array": np.interp(np.arange(64000) / 2, np.arange(32000), tone), "sampling_rate": 32000},
    ]
    embeddings = model.encode([{"audio": items[:2]}, {"audio": items[2:]}])
    expected = hear.get_scene_embeddings(tone[None], model.model)
    assert embeddings.shape == (3, model.mteb_model_meta.embed_dim)
    np.testing.assert_allclose(embeddings[:2], np.repeat(expected, 2, axis=0), atol=1e-5)
    np.testing.assert_allclose(embeddings[2:], expected, atol=0.1)
