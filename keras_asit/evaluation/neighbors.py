"""How well the nearest neighbors of an embedding know its class."""

import numpy as np

from keras_asit._arguments import check_positive_integer


def neighbor_accuracy(
    features, labels, test_features=None, test_labels=None, num_neighbors=1, standardize=True
):
    """Return the accuracy of k-nearest-neighbour classification by cosine similarity.

    Args:
        features: float array of shape `(clips, width)`.
        labels: array of shape `(clips,)`.
        test_features: float array of shape `(test clips, width)`. Defaults to `None`:
            leave-one-out among `features`.
        test_labels: array of shape `(test clips,)`. Defaults to `None`.
        num_neighbors: int. Neighbours that vote; of classes with as many votes, the first
            counts. Defaults to `1`.
        standardize: bool. Whether each feature is first shifted and scaled to mean 0 and
            variance 1 over `features`: what all clips have in common would hide what tells
            them apart. Defaults to `True`.

    Returns:
        A float from 0 to 1.

    Raises:
        ValueError: if shapes do not fit or there are not enough clips.
        ImportError: without scikit-learn, of the extra `probe`.

    Example:

    ```python
    features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    keras_asit.evaluation.neighbor_accuracy(features, [0, 0, 1, 1])  # 1.0
    ```

    Reference: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", arXiv 1805.01978, section 3.4, with equal votes and standardised features.
    """
    try:
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise ImportError(
            "Nearest neighbours need scikit-learn; install it with: pip install keras-asit[probe]"
        ) from None
    check_positive_integer("num_neighbors", num_neighbors)
    features, labels = _check("features", features, labels)
    leave_one_out = test_features is None
    if len(features) < num_neighbors + leave_one_out:
        raise ValueError(
            f"{num_neighbors} neighbours need more than {len(features)} clips; lower "
            "`num_neighbors`."
        )
    scaler = StandardScaler(with_mean=standardize, with_std=standardize).fit(features)
    model = KNeighborsClassifier(num_neighbors, metric="cosine", algorithm="brute")
    model.fit(scaler.transform(features), labels)
    if not leave_one_out:
        test_features, test_labels = _check("test_features", test_features, test_labels)
        return float(np.mean(model.predict(scaler.transform(test_features)) == test_labels))
    # Without an argument, scikit-learn leaves each clip out of its own neighbours.
    neighbors = labels[model.kneighbors(return_distance=False)]
    classes = np.unique(labels)
    votes = (neighbors[:, :, None] == classes).sum(axis=1)
    return float(np.mean(classes[votes.argmax(axis=1)] == labels))


def _check(name, features, labels):
    features, labels = np.asarray(features, "float32"), np.asarray(labels)
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"`{name}` must have shape (clips, width), and their labels (clips,). Received: "
            f"{features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"`{name}` must be finite.")
    return features, labels
