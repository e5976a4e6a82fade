"""The examples of docstrings and pages, run in a folder with what they take for granted."""

import ast
from pathlib import Path

import data_set_layouts
import keras
import keras_hub
import numpy as np
import tensorflow as tf

import keras_asit
from keras_asit import conversion, data, hear, models


def make_backbone(hidden_dim=8):
    sizes = {"num_layers": 1, "num_heads": 1, "hidden_dim": hidden_dim, "mlp_dim": 8}
    return models.ASiTBackbone(**sizes)


def make_classifier():
    preprocessor = models.ASiTAudioClassifierPreprocessor(models.ASiTAudioConverter())
    classifier = models.ASiTAudioClassifier(
        make_backbone(), 2, preprocessor, class_names=["cat", "dog"]
    )
    return classifier


def make_detector():
    preprocessor = models.ASiTAudioClassifierPreprocessor(models.ASiTAudioConverter())
    return models.ASiTEventDetector(make_backbone(), 7, preprocessor)


def make_pretrainer():
    pretrainer = models.ASiTPretrainer(
        make_backbone(),
        num_class_prototypes=8,
        num_patch_prototypes=8,
        projection_hidden_dim=8,
        projection_bottleneck_dim=8,
        reconstruction_hidden_dim=8,
        reconstruction_bottleneck_dim=8,
    )
    pretrainer.compile("adam", teacher_momentum=0.9, teacher_temperature=0.04)
    return pretrainer


def make_waveforms():
    return np.random.uniform(-1, 1, (4, 16000)).astype("float32")


def make_views():
    clean = np.random.normal(size=(2, 2, 592, 128)).astype("float32")
    return tf.data.Dataset.from_tensors({"clean": clean})


def make_batches():
    return lambda start: make_views()


def make_labeled_clips():
    return tf.data.Dataset.from_tensors((make_waveforms(), np.array([0, 1, 0, 1])))


MADE = {
    "backbone": make_backbone,
    "batches": make_batches,
    "classifier": make_classifier,
    "converter": models.ASiTAudioConverter,
    "dataset": make_views,
    "detector": make_detector,
    "labels": lambda: np.array([0, 1, 0, 1]),
    "model": lambda: hear.load_model(str(write_preset(Path("model")))),
    "pretrainer": make_pretrainer,
    "waveforms": make_waveforms,
}


def write_recordings(folder):
    # As many as fill one batch of the default size.
    return data_set_layouts.write_class_folders(folder, clips=16)


def write_recording(path):
    return data_set_layouts.write_tone(path, 0)


def write_manifest(path):
    recording = write_recording(path.parent / "clip.wav")
    path.write_text(f"path\n{recording.name}\n")


def write_records(folder):
    recordings = data_set_layouts.write_class_folders(Path("of_records"), clips=1)
    data.write_records(recordings, folder, verbose=0)


def write_preset(folder):
    make_backbone().save_to_preset(str(folder))
    models.ASiTAudioConverter().save_to_preset(str(folder))
    return folder


def write_pytorch_file(path):
    conversion.export_backbone(make_backbone(hidden_dim=64), path)


def write_audioset(path):
    if not path.exists():
        data_set_layouts.write_audioset(path.parent)


WRITTEN = {
    "ASIT_ssl.pt": write_pytorch_file,
    "ESC-50-master": data_set_layouts.write_esc50,
    "audioset/train.csv": write_manifest,
    "class_labels_indices.csv": write_audioset,
    "eval.json": write_audioset,
    "recording.mp3": write_recording,
    "recording.wav": write_recording,
    "recordings": write_recordings,
    "records": write_records,
    "runs/small/teacher": write_preset,
    "sounds": write_recordings,
    "speech_commands_v0.02": data_set_layouts.write_speech_commands,
    "validation": write_recordings,
    "voxceleb1": data_set_layouts.write_voxceleb1,
}


class Shorten(ast.NodeTransformer):
    """Train for one epoch of one batch of two, whatever an example asks for."""

    SHORT = {"epochs": 1, "batch_size": 2}

    def visit_keyword(self, node):
        self.generic_visit(node)
        if node.arg in self.SHORT:
            node.value = ast.copy_location(ast.Constant(self.SHORT[node.arg]), node.value)
        return node


def run_example(code, name, *, made=None, written=None):
    """Run code in the current folder, in which are the files that it names, and the objects."""
    tree = Shorten().visit(ast.parse(code))
    nodes = list(ast.walk(tree))
    written = {**WRITTEN, **(written or {})}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
    for text in sorted({text for text in texts if isinstance(text, str)} & set(written)):
        Path(text).parent.mkdir(parents=True, exist_ok=True)
        written[text](Path(text))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    made = {**MADE, **(made or {})}
    namespace = {"hear": hear, "keras": keras, "keras_asit": keras_asit, "np": np, "tf": tf}
    namespace["keras_hub"] = keras_hub
    for missing in {node.id for node in names} & set(made) - assigned:
        namespace[missing] = made[missing]()
    exec(compile(tree, f"<example of {name}>", "exec"), namespace)
