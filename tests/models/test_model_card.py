"""The model card of a preset, and the way of both to the hubs and back."""

import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import kagglehub
import keras
import keras_hub
import numpy as np
import pytest
from huggingface_hub.utils import EntryNotFoundError
from keras import ops

import keras_asit
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
    upload_preset,
)

RECORD = {
    "name": "dogs and cats",
    "recipe": "finetune.py",
    "license": "cc-by-4.0",
    "data": {"source": "my sounds", "clips for train": 12},
    "settings": {"preset": "hf://somebody/asit", "learning_rate": 1e-3},
    "last_epoch": {"epoch": 1, "loss": 0.25},
    "results": {"clips": 3, "accuracy": 2 / 3},
}
HUGGING_FACE, KAGGLE = "hf://somebody/pets", "kaggle://somebody/asit/keras/pets"


def build(kind):
    backbone = ASiTBackbone((32, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=16))
    names = {"class_names": ["cat", "dog"]}
    return backbone if kind is ASiTBackbone else kind(backbone, 2, preprocessor, **names)


def save(kind, folder, record=None):
    model = build(kind)
    model.save_to_preset(folder, record=record)
    if kind is ASiTBackbone:
        ASiTAudioConverter(num_frames=32, num_mels=16).save_to_preset(folder)
    return model


def read_card(path):
    return huggingface_hub.ModelCard.load(path / "README.md" if path.is_dir() else path)


@pytest.fixture
def hubs(tmp_path, monkeypatch):
    """A folder of a folder a repository, in the place of both hubs."""
    root = tmp_path / "hubs"

    def upload_folder(repo_id, folder_path):
        shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def upload_file(path_or_fileobj, path_in_repo, repo_id):
        shutil.copy(path_or_fileobj, root / repo_id / path_in_repo)

    def create_repo(repo_id, exist_ok):
        (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def download(repo_id, filename):
        if not (root / repo_id / filename).exists():
            raise EntryNotFoundError("404 Client Error")
        return str(root / repo_id / filename)

    def model_download(handle, path):
        if not (root / handle / path).exists():
            raise kagglehub.exceptions.KaggleApiHTTPError("404 Client Error")
        return str(root / handle / path)

    monkeypatch.setattr(huggingface_hub, "create_repo", create_repo)
    monkeypatch.setattr(
        huggingface_hub,
        "file_exists",
        lambda repo_id, filename: (root / repo_id / filename).exists(),
    )
    monkeypatch.setattr(huggingface_hub, "upload_file", upload_file)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(kagglehub, "model_upload", lambda *args: upload_folder(*args))
    monkeypatch.setattr(kagglehub, "model_download", model_download)
    return root


def test_the_head_of_a_card_is_what_the_hub_reads(tmp_path):
    save(ASiTAudioClassifier, tmp_path, RECORD)
    data = read_card(tmp_path).data
    assert (data.library_name, data.license) == ("keras-hub", "cc-by-4.0")
    assert (data.pipeline_tag, data.base_model) == ("audio-classification", "somebody/asit")
    assert data.model_name == "dogs and cats"
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 2 / 3)
    assert (result.dataset_name, result.dataset_type) == ("my sounds", "my-sounds")


def test_a_card_tells_what_was_recorded(tmp_path):
    save(ASiTAudioClassifier, tmp_path, RECORD)
    text = read_card(tmp_path).text
    for line in (
        "# dogs and cats",
        "Classes (2): cat, dog.",
        "32 frames of 10 ms x 16 mels of sound at 16000 Hz",
        "By `finetune.py`",
        "| source | my sounds |",
        "| loss | 0.25 |",
        "| learning rate | 0.001 |",
        "| accuracy | 0.666667 |",
    ):
        assert line in text
    assert json.loads((tmp_path / "training.json").read_text()) == RECORD


def test_a_card_says_what_is_not_known(tmp_path):
    save(ASiTBackbone, tmp_path / "small")
    card = read_card(tmp_path / "small")
    assert (card.data.license, card.data.pipeline_tag) == ("unknown", "feature-extraction")
    assert card.data.eval_results is None
    assert "# small" in card.text
    for sentence in ("That was not recorded.", "No results", "No license of these weights"):
        assert sentence in card.text


def test_a_license_that_the_hub_does_not_list_is_told(tmp_path):
    save(ASiTBackbone, tmp_path, {"license": "Ask me first."})
    card = read_card(tmp_path)
    assert (card.data.license, card.data.license_name) == ("other", "see-below")
    assert "## License\n\nAsk me first." in card.text


def test_other_weights_lose_the_record(tmp_path):
    save(ASiTBackbone, tmp_path, RECORD)
    # The converter is no weights.
    assert "By `finetune.py`" in read_card(tmp_path).text
    build(ASiTBackbone).save_to_preset(tmp_path)
    assert not (tmp_path / "training.json").exists()
    assert "That was not recorded." in read_card(tmp_path).text


def test_a_card_by_hand_is_kept(tmp_path):
    save(ASiTBackbone, tmp_path, RECORD)
    path = tmp_path / "README.md"
    by_hand = "".join(path.read_text().splitlines(keepends=True)[:-1]) + "Mine.\n"
    path.write_text(by_hand)
    save(ASiTBackbone, tmp_path, RECORD)
    assert path.read_text() == by_hand


@pytest.mark.parametrize("record", [{"licence": "mit"}, {"results": 0.5}, {"license": None}, "mit"])
def test_a_record_of_another_form_is_refused(tmp_path, record):
    with pytest.raises(ValueError, match="record"):
        build(ASiTBackbone).save_to_preset(tmp_path, record=record)
    assert not list(tmp_path.iterdir())


def test_the_card_of_the_shipped_preset_is_one_for_the_hub():
    folder = Path(keras_asit.models.__file__).parent / "asit_small_free_16k"
    data = read_card(folder).data
    assert (data.library_name, data.license) == ("keras-hub", "apache-2.0")


# --- The hubs ---


@pytest.mark.parametrize("uri", [HUGGING_FACE, KAGGLE])
@pytest.mark.parametrize("kind", [ASiTBackbone, ASiTAudioClassifier, ASiTEventDetector])
def test_what_is_uploaded_loads_as_its_card_says(tmp_path, hubs, kind, uri, write_noise):
    model = save(kind, tmp_path / "preset", RECORD)
    written = (tmp_path / "preset" / "README.md").read_text()
    upload_preset(uri, tmp_path / "preset")
    uploaded = (hubs / uri.partition("://")[2] / "README.md").read_text()
    assert uploaded == written == (tmp_path / "preset" / "README.md").read_text()

    (code,) = re.findall("```python\n(.*?)```", uploaded, re.S)
    waveforms = np.random.default_rng(1).uniform(-1, 1, (2, 8000)).astype("float32")
    recordings = str(write_noise("noise.wav").parent)
    code = code.replace("hf://USER/MODEL", uri).replace('"recordings"', repr(recordings))
    found = {"waveforms": waveforms}
    exec(code, found)
    if kind is ASiTBackbone:
        expected, result = model(found["converter"](waveforms)), found["tokens"]
    else:
        expected, result = model.predict(waveforms), found["logits"]
    expected = expected["strong"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (result, expected)), rtol=0, atol=1e-6)
    if kind is ASiTAudioClassifier:
        assert set(found["table"]["label_1"]) <= {"cat", "dog"}


def test_keras_hubs_own_upload_takes_the_card_where_there_is_one(tmp_path, hubs):
    save(ASiTBackbone, tmp_path / "preset", RECORD)
    card = tmp_path / "preset" / "README.md"
    (hubs / "somebody" / "pets").mkdir(parents=True)
    (hubs / "somebody" / "pets" / "README.md").write_text("To be written.")
    for uri in (HUGGING_FACE, KAGGLE):
        keras_hub.upload_preset(uri, str(tmp_path / "preset"))
        assert (hubs / uri.partition("://")[2] / "README.md").read_text() == card.read_text()


def test_a_card_comes_back_where_keras_hubs_own_upload_took_it(tmp_path, hubs):
    save(ASiTBackbone, tmp_path / "preset", RECORD)
    written = (tmp_path / "preset" / "README.md").read_text()
    keras_hub.upload_preset(HUGGING_FACE, str(tmp_path / "preset"))
    assert ASiTBackbone.from_preset(HUGGING_FACE).hidden_dim == 8
    upload_preset(HUGGING_FACE, tmp_path / "preset")
    assert (hubs / "somebody" / "pets" / "README.md").read_text() == written


def test_what_is_no_preset_is_not_uploaded(tmp_path, hubs):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        upload_preset(HUGGING_FACE, tmp_path)
    assert not hubs.exists()


@keras.saving.register_keras_serializable(package="of_my_own")
class MyBackbone(ASiTBackbone):
    pass


def test_a_class_of_ones_own_has_a_card_and_numbers_of_numpy_are_numbers(tmp_path):
    backbone = MyBackbone((32, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    results = {"accuracy": np.float32(0.5), "d_prime": float("inf")}
    record = {"results": results, "settings": {"preset": None}}
    backbone.save_to_preset(tmp_path, record=record)
    assert 'keras_hub.models.Backbone.from_preset("hf://USER/MODEL")' in read_card(tmp_path).text
    (result,) = read_card(tmp_path).data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.5)
