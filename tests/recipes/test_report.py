"""The page that a run leaves: whole, by itself, and true."""

import base64
import html.parser
import io
import shutil
from pathlib import Path

import keras
import pytest
import soundfile
from report import curves, neighbors, values_table, write_report

from keras_asit.models import ASiTAudioConverter, ASiTBackbone

AUDIO = Path(__file__).parents[2] / "recipes" / "quickstart_audio"
RECORD = {
    "name": "<run>",
    "recipe": "pretrain.py",
    "results": {"accuracy": 0.123456789},
    "settings": {"learning_rate": 1e-3},
}


class Page(html.parser.HTMLParser):
    """What a page loads, its headings and whether all that was opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.headings, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_a_page_loads_nothing_and_tells_results_settings_and_versions(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, RECORD, {"Empty": "", "Mine": "<p>mine</p>"})
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert page.headings == ["Results", "Mine", "Settings", "How it ran"]
    assert all(source.startswith("data:") for source in page.loaded)
    assert "&lt;run&gt;: pretrain.py" in text and "<run>" not in text
    assert "0.12346" in text and "learning rate" in text
    assert keras.__version__ in text and keras.config.backend() in text


def test_every_column_of_numbers_has_a_curve(tmp_path):
    (tmp_path / "epochs.csv").write_text("epoch,loss,note,empty\n0,3,a,\n1,2,b,nan\n")
    pictures = Page(curves(tmp_path / "epochs.csv")).loaded
    assert len(pictures) == 1
    assert base64.b64decode(pictures[0].partition(",")[2]).startswith(b"\x89PNG")


def test_values_are_escaped():
    assert "<b>" not in values_table({"a": "<b>", "<b>": 1})


def test_neighbors_can_be_heard(tmp_path):
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    converter = ASiTAudioConverter(num_frames=48, num_mels=16)
    paths = sorted((AUDIO / "snare").iterdir())
    # A recording and its copy are each other's nearest neighbors.
    copy = Path(shutil.copy(paths[0], tmp_path / f"copy{paths[0].suffix}"))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    paths = [str(path) for path in (*paths, copy, broken)]
    table = neighbors(backbone, converter, paths, seed=1)
    assert "broken" not in table
    (row,) = [row for row in table.split("<tr>") if row.startswith(f"<td><small>{tmp_path.name}")]
    assert f"snare/{Path(paths[0]).name} 1.00" in row
    sounds = Page(table).loaded
    assert len(sounds) == 4 * (len(paths) - 1)
    content = base64.b64decode(sounds[0].partition(",")[2])
    assert soundfile.info(io.BytesIO(content)).samplerate == 16000


@pytest.mark.parametrize("number", [0, 3])
def test_too_few_recordings_have_no_neighbors(number):
    converter = ASiTAudioConverter(num_frames=48, num_mels=16)
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    paths = [str(path) for path in sorted((AUDIO / "snare").iterdir())[:number]]
    assert neighbors(backbone, converter, paths, seed=1) == ""


def test_names_that_are_not_utf8_end_no_run(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, {**RECORD, "name": "caf\udce9"}, {"Mine": "caf\udce9"})
    assert "caf?" in path.read_text(encoding="utf-8")
