"""Packaging of keras_asit."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

# What sed_scores_eval needs in these versions: it writes to what newer pandas does not let it, and
# imports what newer setuptools has no more.
EVENTS = ["pandas<3", "sed_scores_eval>=0.0.4", "setuptools<82"]
PICTURES = ["matplotlib"]
# The site, and the notebooks in it.
DOCUMENTATION = [
    "ipykernel",
    "latex2mathml>=3.77",
    "mkdocs>=1.6,<2",
    "mkdocs-jupyter>=0.25",
    "mkdocs-material>=9.6",
    "mkdocstrings[python]>=1",
    "nbmake>=1.5",
    "scikit-learn>=1.6",
    *PICTURES,
]
EXPORT = ["ai-edge-litert", "ai-edge-quantizer", "onnx", "onnxruntime", "openvino", "tf2onnx>=1.17"]
TESTS = [
    "import-linter>=2.7",
    "mypy>=1.18",
    "pyarrow>=18.1",
    "pytest",
    "ruff",
    "safetensors",
    "scikit-learn>=1.6",
    "setuptools>=70.1",
    "tensorboard",
    *EVENTS,
    *EXPORT,
    *PICTURES,
]

# The address of the repository, which whoever builds a release gives.
REPOSITORY = os.environ.get("REPOSITORY_URL", "").rstrip("/")


def read_description():
    """Return README.md, links to files led to the repository or, without its address, left out."""

    def lead(link):
        mark, text, path = link.groups()
        if not REPOSITORY:
            return "" if mark else text
        return f"{mark}[{text}]({REPOSITORY}/{'raw' if mark else 'blob'}/main/{path})"

    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?://)([^)]+)\)", lead, readme)


# Functions of recipes/__init__.py, which run a recipe each.
COMMANDS = [
    "quickstart",
    "pretrain",
    "finetune",
    "train_events",
    "label",
    "events",
    "embed",
    "export",
    "check",
]

setup(
    name="keras-asit",
    version="0.1.0",
    description="ASiT in Keras 3: audio spectrogram transformers that learn from unlabeled sound",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="audio, self-supervised learning, vision transformer, spectrogram, Keras, ASiT",
    project_urls={
        "Paper": "https://arxiv.org/abs/2211.13189",
        **({"Source": REPOSITORY} if REPOSITORY else {}),
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=[*find_packages(include=["keras_asit", "keras_asit.*"]), "keras_asit_recipes"],
    package_dir={"keras_asit_recipes": "recipes"},
    entry_points={
        "console_scripts": [
            f"asit-{name.replace('_', '-')} = keras_asit_recipes:{name}" for name in COMMANDS
        ]
    },
    package_data={
        "keras_asit": ["py.typed"],
        "keras_asit_recipes": ["quickstart_audio/*", "quickstart_audio/*/*"],
        "keras_asit.models": ["audioset/*", "asit_small_free_16k/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        "audioread>=3.0",
        "google-crc32c>=1.6",
        "huggingface-hub>=0.23",
        "keras>=3.15",
        "keras-hub>=0.31",
        "lazy-loader>=0.4",
        "librosa>=0.11",
        "numpy>=1.26",
        # From this version on, why a file cannot be opened is told right among threads.
        "soundfile>=0.14",
        "soxr>=0.5",
        "tensorflow>=2.17",
    ],
    extras_require={
        "beam": ["apache-beam>=2.77,<3"],
        "benchmark": ["torch>=2.6", "transformers"],
        "docs": DOCUMENTATION,
        "events": EVENTS,
        "export": EXPORT,
        "jax": ["jax>=0.5"],
        "torch": ["safetensors", "torch>=2.6"],
        "parquet": ["pyarrow>=18.1"],
        "pictures": PICTURES,
        "probe": ["scikit-learn>=1.6"],
        "quickstart": ["scikit-learn>=1.6", *PICTURES],
        "tensorboard": ["tensorboard", *PICTURES],
        "test": TESTS,
        # The native operators of tensorflow-io load beside this TensorFlow only.
        "tfio": ["tensorflow==2.17.1", "tensorflow-io==0.37.1"],
    },
)
