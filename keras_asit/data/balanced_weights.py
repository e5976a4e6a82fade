"""Chances of clips to be drawn, so that rare classes are seen."""

import numpy as np

from keras_asit.data.labeled_clips import LabeledClips


def balanced_weights(clips):
    """Return how often each clip is to be drawn: the sum of its classes' inverse frequencies.

    Args:
        clips: a `LabeledClips`.

    Returns:
        A float64 array of shape `(clips,)`, for the `weights` of `labeled_dataset`.

    Example:

    ```python
    clips = keras_asit.data.LabeledClips(["a", "b", "c"], [(0,), (0,), (1,)], ["dog", "cat"])
    keras_asit.data.balanced_weights(clips)  # 0.5, 0.5, 1.0
    ```

    Reference: Gong et al., "PSLA", arXiv 2102.01243, section III-B.
    """
    if not isinstance(clips, LabeledClips):
        raise ValueError(f"`clips` must be LabeledClips. Received: {type(clips).__name__}")
    indices = [index for labels in clips.labels for index in labels]
    counts = np.bincount(np.asarray(indices, "int64"), minlength=len(clips.class_names))
    return np.asarray(
        [sum(1 / counts[index] for index in labels) for labels in clips.labels], float
    )
