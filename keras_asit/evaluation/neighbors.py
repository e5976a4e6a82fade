"""How well the nearest neighbors of an embedding know its class."""

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import check_integers
from keras_asit._extras import of_extra


def neighbor_accuracy(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    num_neighbors: int = 1,
    standardize: bool = True,
) -> float:
    """Return the accuracy of k-nearest-neighbor classification by cosine similarity.

    Args:
        features: float array of shape `(clips, width)`.
        labels: array of shape `(clips,)`.
        test_features: float array of shape `(test clips, width)`. Defaults to `None`:
            leave-one-out among `features`.
        test_labels: array of shape `(test clips,)`. Defaults to `None`.
        num_neighbors: int. Neighbors that vote; of classes with as many votes, the first
            counts. Defaults to `1`.
        standardize: bool. Whether each feature first gets mean 0 and variance 1 over `features`,
            since what all clips share hides what tells them apart. Defaults to `True`.

    Raises:
        ValueError: if shapes do not fit or there are not enough clips.
        ImportError: without scikit-learn, of the extra `probe`.

    Example:

    ```python
    features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    keras_asit.evaluation.neighbor_accuracy(features, [0, 0, 1, 1])  # 1.0
    ```

    Reference: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", arXiv 1805.01978, section 3.4, with equal votes and standardized features.
    """
    with of_extra("probe"):
        from sklearn.neighbors import KNeighborsClassifier

    check_integers(1, num_neighbors=num_neighbors)
    features, labels = as_labeled_features("features", features, labels)
    if len(features) < num_neighbors + (test_features is None):
        raise ValueError(
            f"{num_neighbors} neighbors need more than {len(features)} clips; lower "
            "`num_neighbors`."
        )
    mean, scale = 0.0, 1.0
    if standardize:
        mean, scale = features.mean(axis=0, dtype="float64"), features.std(axis=0, dtype="float64")
        # What is constant but for rounding must not become noise of variance 1.
        scale[scale <= 1e-6 * np.abs(mean)] = np.inf
    classifier = KNeighborsClassifier(num_neighbors, metric="cosine", algorithm="brute")
    classifier.fit((features - mean) / scale, labels)
    if test_features is None:
        # Of `None`, scikit-learn scores the clips themselves, none among its own neighbors.
        return float(classifier.score(None, labels))
    test_features, test_labels = as_labeled_features("test_features", test_features, test_labels)
    return float(classifier.score((test_features - mean) / scale, test_labels))


def as_labeled_features(name, features, labels):
    """Return features and labels as arrays, or raise `ValueError` where they do not fit."""
    features, labels = np.asarray(features, "float32"), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"`{name}` must have shape (clips, width), and their labels (clips,). Received: "
            f"{features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"`{name}` must be finite.")
    return features, labels
