"""The examples in docstrings run, each alone in a folder, with what they take for granted."""

import ast
import re
from pathlib import Path

import data_set_layouts
import keras
import pytest
from examples import make_labeled_clips, run_example

import keras_asit

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="examples do not depend on the backend"
)
PACKAGE = Path(keras_asit.__file__).parent
NOT_RUN = {
    "load_pretrainer": "real checkpoints are large; tests/conversion reads small ones",
    "load_classifier": "real files are large; tests/conversion reads small ones",
    "load_event_detector": "real files are large; tests/conversion reads small ones",
    "upload_preset": "it needs an account; tests/models/test_model_card.py has stand-ins of hubs",
}
NEED_TORCH = {"export_backbone", "load_backbone"}
# Those that train or write records, which takes seconds.
SLOW = {
    "ASiTAudioClassifier",
    "ASiTPretrainer",
    "Checkpoints",
    "ExportedModel",
    "LogTable",
    "NeighborAccuracy",
    "ValidateRecordings",
    "export",
    "holds_records",
    "pretraining_dataset",
    "read_record_index",
    "write_records",
}

# Where the same name means something else.
MADE_FOR = {"ValidateRecordings": {"dataset": make_labeled_clips}}
WRITTEN_FOR = {
    "read_labeled_events": {"recordings": data_set_layouts.write_events},
    "read_spoken_digits": {"recordings": data_set_layouts.write_spoken_digits},
    "write_records": {"records": lambda path: None},
}


def find_examples():
    """Return a `pytest.param` of each example's code, by the name that it documents."""
    examples = []

    def visit(node, path):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = ".".join([*path, child.name])
                for code in re.findall(
                    r"```python\n(.*?)```", ast.get_docstring(child) or "", re.S
                ):
                    reason = NOT_RUN.get(name)
                    marks = [pytest.mark.skip(reason=reason)] if reason else []
                    marks += [pytest.mark.slow] if name in SLOW else []
                    examples.append(pytest.param(code, id=name, marks=marks))
                visit(child, [*path, child.name])

    for file in sorted(PACKAGE.rglob("*.py")):
        visit(ast.parse(file.read_text(encoding="utf-8")), [])
    return examples


# Presets without weights, and the eager mode of these tests, say so.
@pytest.mark.filterwarnings("ignore:.*starts at random:UserWarning")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly.*:UserWarning")
@pytest.mark.parametrize("code", find_examples())
def test_example_runs(code, request, tmp_path, monkeypatch, eagerly):
    monkeypatch.chdir(tmp_path)
    name = request.node.callspec.id
    if name in NEED_TORCH:
        pytest.importorskip("torch", reason="PyTorch files are read and written by PyTorch")
    run_example(code, name, made=MADE_FOR.get(name), written=WRITTEN_FOR.get(name))


def test_what_is_not_run_is_there():
    names = {example.id for example in find_examples()}
    assert set(NOT_RUN) | SLOW | NEED_TORCH <= names
    assert len(names) > 60
