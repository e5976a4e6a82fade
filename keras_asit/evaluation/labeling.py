"""Names for recordings: the most probable classes of each, or of each of its windows."""

from collections.abc import Iterator, Sequence

import numpy as np

from keras_asit._arguments import check_choice, check_instance, check_integers, check_number
from keras_asit.data.sources import read_manifest
from keras_asit.evaluation.windows import outputs_of_recordings, placed_windows
from keras_asit.models import ASiTAudioClassifier

ROWS = ("mean", "maximum", "window")


def label_recordings(
    classifier: ASiTAudioClassifier,
    source: str | Sequence[str],
    *,
    top: int = 5,
    threshold: float = 0.0,
    rows: str = "mean",
    window_seconds: float | None = None,
    overlap: float = 0.0,
    batch_size: int = 32,
) -> dict:
    """Return a table of the most probable classes of recordings of any length.

    Args:
        classifier: an `ASiTAudioClassifier` with a preprocessor. Without `class_names`, classes
            are called "class 0", "class 1", ...
        source: str, `os.PathLike`, or list of them; see `keras_asit.data.read_manifest`. Files that
            cannot be read are left out, with a warning.
        top: int. Classes of a row, the most probable first. Defaults to `5`.
        threshold: float in [0, 1]. Less probable classes are left empty. Defaults to `0.0`.
        rows: str. A row a recording, of the `"mean"` or the `"maximum"` of the probabilities of its
            windows, or a row a `"window"`. Defaults to `"mean"`.
        window_seconds, overlap, batch_size: as in `keras_asit.evaluation.window_dataset`.

    Returns:
        A dict of lists of one length, of which `pandas.DataFrame` makes a table: `"path"`;
        `"onset"` and `"offset"` in seconds; and `"label_1"`, `"probability_1"` and so on up to
        `top`, or to all classes. What is empty is `None`.

    Raises:
        ValueError: if an argument is invalid, or the source names no existing audio file.
        tf.errors.InvalidArgumentError: if none of the files can be read.

    Example:
    ```python
    table = keras_asit.evaluation.label_recordings(classifier, "sounds", top=1)
    print(table["path"][0], table["label_1"][0], table["probability_1"][0])
    ```
    """
    paths = read_manifest(source)
    options = {"top": top, "threshold": threshold, "rows": rows, "overlap": overlap}
    options |= {"window_seconds": window_seconds, "batch_size": batch_size}
    lines = [
        {"path": paths[index], **flatten(span)}
        for index, spans in label_spans(classifier, paths, **options)
        for span in spans
    ]
    columns = ["path", *label_columns(min(top, classifier.num_classes))]
    return {name: [line.get(name) for line in lines] for name in columns}


def label_spans(
    classifier,
    paths,
    *,
    top,
    threshold=0.0,
    rows="mean",
    window_seconds=None,
    overlap=0.0,
    batch_size=32,
    at_least=1,
) -> Iterator[tuple]:
    """Yield (index, spans) of each readable recording in turn, as `label_recordings` tells them.

    A span is a dict of `"onset"` and `"offset"` in seconds, and `"labels"`, a dict from names to
    probabilities.
    """
    check_instance("classifier", classifier, ASiTAudioClassifier)
    if classifier.preprocessor is None:
        raise ValueError(
            "`classifier` has no preprocessor; make it with an ASiTAudioClassifierPreprocessor."
        )
    check_integers(1, top=top)
    check_number("threshold", threshold, 0, 1)
    check_choice("rows", rows, ROWS)
    converter = classifier.preprocessor.audio_converter
    names = classifier.class_names or [f"class {index}" for index in range(classifier.num_classes)]
    options = {"overlap": overlap, "batch_size": batch_size, "at_least": at_least}
    windows = placed_windows(paths, converter, window_seconds=window_seconds, **options)
    model = classifier.probability_model()
    for index, places, probabilities in outputs_of_recordings(model, windows):
        probabilities = np.asarray(probabilities, "float64")
        if rows != "window":
            places = np.array([[0, places[-1, 1]]])
            reduce = np.mean if rows == "mean" else np.max
            probabilities = reduce(probabilities, axis=0, keepdims=True)
        spans = zip(places / converter.sample_rate, probabilities)
        yield index, [_label(*span, names, top, threshold) for span in spans]


def _label(place, probabilities, names, top, threshold):
    order = np.argsort(-probabilities, kind="stable")[:top]
    labels = {
        names[index]: round(float(probabilities[index]), 6)
        for index in order
        if probabilities[index] >= threshold
    }
    onset, offset = (round(float(seconds), 3) for seconds in place)
    return {"onset": onset, "offset": offset, "labels": labels}


def label_columns(top):
    """Return the names of the columns of spans with so many labels."""
    names = [f"{name}_{rank + 1}" for rank in range(top) for name in ("label", "probability")]
    return ["onset", "offset", *names]


def flatten(span):
    """Return a span with each label and its probability in columns of their own."""
    values = [value for label in span["labels"].items() for value in label]
    return dict(zip(label_columns(len(span["labels"])), [span["onset"], span["offset"], *values]))
