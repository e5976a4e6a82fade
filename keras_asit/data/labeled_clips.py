"""Audio files with labels."""

import dataclasses
import numbers

import numpy as np


@dataclasses.dataclass(frozen=True)
class LabeledClips:
    """Paths of audio files, the classes of each, and the names of all classes.

    Args:
        paths: list of strs.
        labels: list of tuples of ints, for each file the indices of its classes.
        class_names: list of strs.

    Example:

    ```python
    clips = keras_asit.data.LabeledClips(["a.wav", "b.wav"], [(0,), (0, 1)], ["dog", "bark"])
    clips.multi_label  # True
    ```
    """

    paths: list
    labels: list
    class_names: list

    def __post_init__(self):
        if len(self.paths) != len(self.labels):
            raise ValueError(
                f"Every path needs its labels. Received: {len(self.paths)} paths, "
                f"{len(self.labels)} labels"
            )
        for path, indices in zip(self.paths, self.labels):
            if not isinstance(indices, (tuple, list, np.ndarray)) or not all(
                isinstance(index, numbers.Integral) and 0 <= index < len(self.class_names)
                for index in indices
            ):
                raise ValueError(
                    "The labels of a file must be a tuple of indices of classes, from 0 to "
                    f"{len(self.class_names) - 1}. Received: {indices!r} for {path}"
                )

    def __len__(self):
        return len(self.paths)

    @property
    def multi_label(self):
        """Whether any file has not exactly one label."""
        return any(len(indices) != 1 for indices in self.labels)

    def select(self, indices):
        """Return the clips of the given indices."""
        paths = [self.paths[index] for index in indices]
        return LabeledClips(paths, [self.labels[index] for index in indices], self.class_names)

    def label_matrix(self):
        """Return labels as a float32 array of zeros and ones, `(clips, classes)`."""
        matrix = np.zeros((len(self), len(self.class_names)), "float32")
        for row, indices in zip(matrix, self.labels):
            row[list(indices)] = 1
        return matrix

    def label_indices(self):
        """Return the one label of each file as an int32 array of shape `(clips,)`.

        Raises:
            ValueError: if a file has not exactly one.
        """
        for path, indices in zip(self.paths, self.labels):
            if len(indices) != 1:
                raise ValueError(f"{path} has {len(indices)} labels; it must have one.")
        return np.asarray([indices[0] for indices in self.labels], "int32")
