"""A small task for X-ARES, offline: the categories of the quickstart's recordings, in five folds.

    python -m xares.run --max-jobs 0 recipes/harnesses/xares_{encoder,quickstart}.py

What X-ARES writes comes into runs/xares.
"""

from pathlib import Path

from sklearn.model_selection import StratifiedKFold
from xares.audiowebdataset import write_audio_tar
from xares.task import TaskConfig

from keras_asit.data import read_labeled_clips

AUDIO = Path(__file__).parents[1] / "quickstart_audio"
FOLDS = [1, 2, 3, 4, 5]


def quickstart_config(encoder) -> TaskConfig:
    """Return the task; the first call writes its recordings as X-ARES reads them."""
    clips = read_labeled_clips(AUDIO)
    config = TaskConfig(
        name="quickstart",
        formal_name="Quickstart",
        encoder=encoder,
        env_root="runs/xares",
        k_fold_splits=FOLDS,
        eval_weight=len(clips),
        label_processor=lambda content: content["label"],
        output_dim=len(clips.class_names),
        batch_size_encode=1,  # Each recording in its own length, without padding.
    )
    folder = Path(config.env_root, config.name)
    ready = folder / config.xares_settings.audio_ready_filename
    if not ready.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_folds(clips, folder)
        ready.touch()
    return config


def write_folds(clips, folder):
    """Write a tar file for each fold."""
    splitter = StratifiedKFold(len(FOLDS), shuffle=True, random_state=1)
    folds = splitter.split(clips.paths, clips.label_indices())
    for fold, (_, members) in zip(FOLDS, folds):
        part = clips.select(members)
        labels = [{"label": int(label)} for label in part.label_indices()]
        path = str(folder / f"wds-audio-fold-{fold}-*.tar")
        write_audio_tar(part.paths, labels, path, suffix="ogg", num_shards=1, force=True)
