"""A small task for mteb, offline: the categories of the quickstart's recordings, in five folds."""

from pathlib import Path

import datasets
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata

from keras_asit.data import decode_audio, read_labeled_clips

AUDIO = Path(__file__).parents[1] / "quickstart_audio"
SAMPLE_RATE = 16000


class QuickstartAudio(AbsTaskClassification):
    """Five folds, of whose training part eight recordings a category train the classifier."""

    metadata = TaskMetadata(
        name="QuickstartAudio",
        description="Categories of short CC0 recordings of instruments, loops and ambience.",
        type="AudioClassification",
        category="a2c",
        modalities=["audio"],
        dataset={"path": "quickstart_audio", "revision": "1"},
        license="cc0-1.0",
        eval_splits=["train"],
        eval_langs=["zxx-Zxxx"],
        main_score="accuracy",
    )
    input_column_name = "audio"
    is_cross_validation = True

    def load_data(self, **kwargs):
        clips = read_labeled_clips(AUDIO)
        audio = [
            {"array": decode_audio(path, sample_rate=SAMPLE_RATE), "sampling_rate": SAMPLE_RATE}
            for path in clips.paths
        ]
        columns = {"audio": audio, "label": clips.label_indices()}
        self.dataset = datasets.DatasetDict(train=datasets.Dataset.from_dict(columns))
        self.data_loaded = True
