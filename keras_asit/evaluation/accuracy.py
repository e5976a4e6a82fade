"""How well embeddings and classifiers know the classes of clips; of the extra `probe`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import as_seed, check_integers, check_number
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
    features, labels = _as_labeled_features("features", features, labels)
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
    test_features, test_labels = _as_labeled_features("test_features", test_features, test_labels)
    return float(classifier.score((test_features - mean) / scale, test_labels))


def linear_probe_accuracy(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    regularization: float | None = None,
    seed: int | None = None,
) -> float:
    """Return the test accuracy of a logistic regression, the linear probe of features.

    Features are standardized by the training clips. The strength of the regularization is
    chosen by cross-validation among these, of at most five folds, by how probable the labels of
    the clips left out are, unless it is given.

    Args:
        features, labels: arrays of shape `(clips, width)` and `(clips,)`, to train on.
        test_features, test_labels: the same of test clips. Defaults to `None`: each of at most
            five folds of the clips is the test of a probe that is trained on the others.
        regularization: float. Weight of the squared norm of the weights, the inverse of
            scikit-learn's `C`. Defaults to `None`: chosen.
        seed: int. The same seed gives the same folds. Defaults to `None`, a random one.

    Raises:
        ValueError: if shapes do not fit, or a class has too few clips for folds.
        ImportError: without scikit-learn, of the extra `probe`.

    Example:
    ```python
    features, labels = np.random.normal(size=(20, 8)), np.arange(20) % 2
    features[:, 0] += 10 * labels
    keras_asit.evaluation.linear_probe_accuracy(
        features[:10], labels[:10], test_features=features[10:], test_labels=labels[10:]
    )  # 1.0
    ```

    Reference: Alain and Bengio, "Understanding Intermediate Layers Using Linear Classifier
    Probes", arXiv 1610.01644.
    """
    with of_extra("probe"):
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

    features, labels = _as_labeled_features("features", features, labels)
    if test_features is None:
        options = {"regularization": regularization, "seed": seed}
        right = 0
        for train, test in _folds(labels, seed).split(features, labels):
            some = {"test_features": features[test], "test_labels": labels[test]}
            share = linear_probe_accuracy(features[train], labels[train], **some, **options)
            right += share * len(test)
        return right / len(labels)
    test_features, test_labels = _as_labeled_features("test_features", test_features, test_labels)
    if regularization is None:
        strengths = {"C": 10.0 ** np.arange(-5, 2)}
        # Not by accuracy: those of few clips are often equal, and then the strongest would win.
        options = {"cv": _folds(labels, seed), "scoring": "neg_log_loss"}
        probe = GridSearchCV(LogisticRegression(max_iter=1000), strengths, **options)
    else:
        check_number("regularization", regularization, 1e-9)
        probe = LogisticRegression(C=1 / regularization, max_iter=1000)
    # The rotation changes no answer; with fewer clips than features it leaves fewer directions.
    probe = make_pipeline(StandardScaler(), PCA(), probe)
    # Problems are small: several threads would wait for each other more than they compute.
    with threadpool_limits(1):
        # In single precision, the solver may stop early.
        probe.fit(features.astype("float64"), labels)
        return float(np.mean(probe.predict(test_features.astype("float64")) == test_labels))


def class_table(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str]
) -> list[dict]:
    """Return a row a class: how many clips, average precision, AUC, precision and recall.

    Args:
        labels: array of shape `(clips, classes)` of zeros and ones.
        probabilities: array of shape `(clips, classes)`. A clip counts as of its most probable
            class if every clip has one label, and else of all those from 0.5 on.
        class_names: list of strs.

    Returns:
        A list of dicts with the keys `"class"`, `"clips"`, `"average_precision"`, `"auc"`,
        `"precision"` and `"recall"`. What a class without clips, or of all clips, does not
        have is NaN.

    Raises:
        ValueError: if shapes do not fit.
        ImportError: without scikit-learn, of the extra `probe`.

    Example:
    ```python
    labels, probabilities = np.eye(2), np.array([[0.8, 0.2], [0.4, 0.6]])
    keras_asit.evaluation.class_table(labels, probabilities, ["dog", "cat"])
    ```
    """
    with of_extra("probe"):
        from sklearn.metrics import average_precision_score, roc_auc_score

    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.shape != probabilities.shape or labels.shape[1:] != (len(class_names),):
        raise ValueError(
            f"Labels and probabilities must have shape (clips, {len(class_names)}). Received: "
            f"{labels.shape} and {probabilities.shape}"
        )
    chosen = probabilities >= 0.5
    if (labels.sum(axis=1) == 1).all():
        chosen = np.eye(len(class_names))[probabilities.argmax(axis=1)]
    clips, right = labels.sum(axis=0), (chosen * labels).sum(axis=0)
    with np.errstate(invalid="ignore"):  # A share of nothing is NaN.
        precision, recall = right / chosen.sum(axis=0), right / clips

    def curves(score, defined):
        curve = zip(labels.T, probabilities.T, defined)
        return [float(score(*pair)) if known else float("nan") for *pair, known in curve]

    columns = {
        "class": class_names,
        "clips": clips.astype(int).tolist(),
        "average_precision": curves(average_precision_score, clips > 0),
        "auc": curves(roc_auc_score, (clips > 0) & (clips < len(labels))),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _folds(labels, seed):
    """Return at most five folds, each with training clips of every class."""
    from sklearn.model_selection import StratifiedKFold

    fewest = np.unique(labels, return_counts=True)[1].min()
    if fewest < 2:
        raise ValueError(
            "Every class needs two training clips, three to be tested in folds; to train on one, "
            "give `regularization`."
        )
    return StratifiedKFold(min(5, fewest), shuffle=True, random_state=as_seed(seed))


def _as_labeled_features(name, features, labels):
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
