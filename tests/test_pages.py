"""The Python code of the documentation's pages runs, that of a section in one go."""

import json
import re
from pathlib import Path

import keras
import pytest
from examples import run_example

import keras_asit

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="examples do not depend on the backend"
)
ROOT = Path(keras_asit.__file__).parents[1]
PAGES = ROOT / "docs"
NOT_RUN = {
    "weights: Start from them": "weights are large; tests/models/test_presets.py has small ones",
    "weights: Share": "hubs are elsewhere; tests/models/test_model_card.py has folders",
}
# Those that train, write records or embed more than once.
SLOW = {
    "embeddings: In a pipeline of scikit-learn",
    "export: In Python",
    "finetune: In Python",
    "pretrain: The same with model.fit",
    "records: In Python",
}
# The recipes that have a name of their own as commands.
COMMANDS = {"events": "detect_events", "check": "check_audio"}


def find_sections():
    """Return a `pytest.param` of the code of each section that has some, by page and title."""
    sections = []
    for page in sorted(PAGES.rglob("*.md")):
        for section in re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            blocks = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
            if blocks:
                title = f"{page.stem}: {section.splitlines()[0]}"
                reason = NOT_RUN.get(title)
                marks = [pytest.mark.skip(reason=reason)] if reason else []
                marks += [pytest.mark.slow] if title in SLOW else []
                sections.append(pytest.param("\n".join(blocks), id=title, marks=marks))
    return sections


# Presets without weights, and the eager mode of these tests, say so.
@pytest.mark.filterwarnings("ignore:.*starts at random:UserWarning")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly.*:UserWarning")
@pytest.mark.parametrize("code", find_sections())
def test_section_runs(code, request, tmp_path, monkeypatch, eagerly):
    monkeypatch.chdir(tmp_path)
    run_example(code, request.node.callspec.id)


def test_pages_have_code():
    titles = {section.id for section in find_sections()}
    assert set(NOT_RUN) | SLOW <= titles
    assert len(titles) > 20


def find_flags():
    """Yield page, recipe and flag of what pages tell to type into a shell."""
    for page in sorted(PAGES.rglob("*.md")):
        for block in re.findall(
            r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
        ):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.search(r"(?:\basit-([\w-]+)|(recipes/[\w/]+)\.py) ", line)
                if command:
                    name = (command[1] or "").replace("-", "_")
                    path = command[2] or f"recipes/{COMMANDS.get(name, name)}"
                    for flag in re.findall(r" (--[a-z-]+)", line):
                        yield page.stem, path, flag


def read_recipe(path):
    """Return the code of a recipe and of the files beside it that it imports."""
    text = (ROOT / f"{path}.py").read_text(encoding="utf-8")
    names = re.findall(r"^from (\w+) import", text, re.MULTILINE)
    files = [ROOT / "recipes" / f"{name}.py" for name in names]
    return text + "".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def test_flags_are_those_of_the_recipes():
    flags = set(find_flags())
    assert len(flags) > 30
    # Of Apache Beam and X-ARES.
    others = {"--direct", "--max-jobs"}
    unknown = [
        (page, path, flag)
        for page, path, flag in sorted(flags)
        if flag not in others and f'"{flag}"' not in read_recipe(path)
    ]
    assert not unknown


@pytest.mark.parametrize("path", sorted(PAGES.rglob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_show_pictures_and_play_sounds(path):
    text = path.read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    shown = [output["data"] for output in outputs if "data" in output]
    assert len(text) < 1e6
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in data for data in shown)
    assert any("<audio" in "".join(data.get("text/html", "")) for data in shown)
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
