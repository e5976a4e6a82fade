"""The published tagger: its head, names and numbers are those of a network of PyTorch's."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import load_classifier, load_event_detector
from keras_asit.models import ASiTAudioClassifier, ASiTBackbone, ASiTEventDetector, presets

torch = pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")

WEAK, STRONG = "asit_base_16k_audioset_weak", "asit_base_16k_audioset_strong"
WIDTH, HEADS, LAYERS = 16, 2, 2


class Network(torch.nn.Module):
    """What the published files hold: a vision transformer, and a head for frames and for clips."""

    def __init__(self, num_strong=447, num_weak=527):
        super().__init__()
        self.model = model = torch.nn.Module()
        model.cls_token = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        model.pos_embed = torch.nn.Parameter(torch.zeros(1, 1 + 37 * 8, WIDTH))
        model.patch_embed = torch.nn.Module()
        model.patch_embed.proj = torch.nn.Conv2d(1, WIDTH, 16, stride=16)
        model.blocks = torch.nn.ModuleList()
        for _ in range(LAYERS):
            block = torch.nn.Module()
            block.norm1, block.norm2 = (torch.nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(2))
            block.attn, block.mlp = torch.nn.Module(), torch.nn.Module()
            block.attn.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
            block.attn.proj = torch.nn.Linear(WIDTH, WIDTH)
            block.mlp.fc1 = torch.nn.Linear(WIDTH, 4 * WIDTH)
            block.mlp.fc2 = torch.nn.Linear(4 * WIDTH, WIDTH)
            model.blocks.append(block)
        model.norm = torch.nn.LayerNorm(WIDTH, eps=1e-6)
        self.strong_head = torch.nn.Linear(WIDTH, num_strong)
        self.weak_head = torch.nn.Linear(WIDTH, num_weak)
        generator = torch.Generator().manual_seed(1)
        for name, parameter in self.named_parameters():
            mean = 1.0 if "norm" in name and "weight" in name else 0.0
            torch.nn.init.normal_(parameter, mean, 0.3, generator=generator)

    def forward(self, spectrograms):
        """Return probabilities of clips; positions, of 8 x 37, are interpolated to 62 x 8."""
        model, functional = self.model, torch.nn.functional
        patches = model.patch_embed.proj(spectrograms[:, None]).flatten(2).transpose(1, 2)
        grid = model.pos_embed[:, 1:].reshape(1, 8, 37, WIDTH).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, size=(62, 8), mode="bicubic", align_corners=False)
        patches = patches + grid.flatten(2).transpose(1, 2)
        first = (model.cls_token + model.pos_embed[:, :1]).expand(len(patches), -1, -1)
        tokens = torch.cat([first, patches], dim=1)
        for block in model.blocks:
            heads = block.attn.qkv(block.norm1(tokens)).unflatten(-1, (3, HEADS, -1))
            attended = functional.scaled_dot_product_attention(*heads.permute(2, 0, 3, 1, 4))
            tokens = tokens + block.attn.proj(attended.transpose(1, 2).flatten(2))
            hidden = functional.gelu(block.mlp.fc1(block.norm2(tokens)))
            tokens = tokens + block.mlp.fc2(hidden)
        steps = functional.adaptive_avg_pool1d(model.norm(tokens).transpose(1, 2), 250)
        return torch.sigmoid(self.weak_head(steps.mean(dim=2)))


@pytest.fixture
def network(tmp_path, monkeypatch):
    """A small network, whose file stands in for the published ones."""
    network = Network()
    for name in (WEAK, STRONG):
        preset = presets.PRESETS[name]
        torch.save(network.state_dict(), tmp_path / preset["file"])
        sizes = {"hidden_dim": WIDTH, "num_layers": LAYERS, "num_heads": HEADS, "mlp_dim": 64}
        small = {**preset, "backbone": {**preset["backbone"], **sizes}}
        monkeypatch.setitem(presets.PRESETS, name, small)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_ASIT_SOURCE", str(tmp_path))
    return network


def spectrograms():
    return np.random.default_rng(1).normal(size=(2, 998, 128)).astype("float32")


def probabilities(classifier):
    return ops.convert_to_numpy(classifier.probability_model()(spectrograms()))


def test_its_probabilities_are_those_of_pytorch_wherever_it_is_saved(network, tmp_path):
    with torch.no_grad():
        expected = network(torch.from_numpy(spectrograms())).numpy()
    assert expected.min() < 0.1 and expected.max() > 0.9
    classifier = ASiTAudioClassifier.from_preset(WEAK)
    classifier.save(tmp_path / "tagger.keras")
    classifier.save_to_preset(str(tmp_path / "preset"))
    for copy in (
        classifier,
        keras.saving.load_model(tmp_path / "tagger.keras", compile=False),
        ASiTAudioClassifier.from_preset(str(tmp_path / "preset")),
    ):
        np.testing.assert_allclose(probabilities(copy), expected, rtol=0, atol=1e-5)
        assert len(copy.class_names) == 527
        assert copy.class_names[:2] == ["Speech", "Male speech, man speaking"]
        assert copy.class_names[-1] == "Field recording"


def test_it_classifies_waveforms_of_ten_seconds(network):
    classifier = ASiTAudioClassifier.from_preset(WEAK)
    assert classifier.predict([np.zeros(160000), np.zeros(9000)], verbose=0).shape == (2, 527)


def test_a_detector_has_the_names_of_events(network):
    detector = ASiTEventDetector.from_preset(STRONG)
    assert len(detector.class_names) == 447
    assert detector.class_names[:2] == ["Accelerating, revving, vroom", "Air brake"]


def test_backbones_and_tasks_of_other_classes_start_from_it(network):
    expected = network.model.norm.weight.detach().numpy()
    others = [
        ASiTBackbone.from_preset(WEAK),
        ASiTAudioClassifier.from_preset(WEAK, num_classes=3).backbone,
        ASiTEventDetector.from_preset(WEAK, num_strong_classes=3).backbone,
    ]
    for backbone in others:
        np.testing.assert_array_equal(ops.convert_to_numpy(backbone.norm.gamma), expected)
    with pytest.raises(ValueError, match="`num_strong_classes` must be given"):
        ASiTEventDetector.from_preset(WEAK)


def test_heads_of_other_numbers_of_classes_have_no_names(tmp_path):
    torch.save(Network(3, 2).state_dict(), tmp_path / "file.pt")
    assert load_classifier(tmp_path / "file.pt", num_heads=HEADS).class_names is None
    assert load_event_detector(tmp_path / "file.pt", num_heads=HEADS).class_names is None


def test_of_the_heads_the_one_for_clips_is_enough(tmp_path):
    state = Network(3, 2).state_dict()
    frames = {name: state.pop(name) for name in list(state) if name.startswith("strong_head")}
    torch.save(state, tmp_path / "file.pt")
    assert load_classifier(tmp_path / "file.pt", num_heads=HEADS).num_classes == 2
    state = {name: value for name, value in state.items() if not name.startswith("weak_head")}
    torch.save({**state, **frames}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="holds no weak_head"):
        load_classifier(tmp_path / "file.pt", num_heads=HEADS)
