"""How well a linear classifier on top of embeddings knows their classes."""

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import as_seed
from keras_asit._extras import of_extra
from keras_asit.evaluation.neighbors import as_labeled_features


def linear_probe_accuracy(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    seed: int | None = None,
) -> float:
    """Return the test accuracy of a logistic regression, the linear probe of features.

    Features are standardized by the training clips. The strength of the regularization is
    chosen by cross-validation among these, of at most five folds.

    Args:
        features, labels: arrays of shape `(clips, width)` and `(clips,)`, to train on.
        test_features, test_labels: the same of test clips.
        seed: int. The same seed gives the same folds. Defaults to `None`, a random one.

    Raises:
        ValueError: if shapes do not fit, or a class has a single training clip.
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
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    features, labels = as_labeled_features("features", features, labels)
    test_features, test_labels = as_labeled_features("test_features", test_features, test_labels)
    fewest = np.unique(labels, return_counts=True)[1].min()
    if fewest < 2:
        raise ValueError("To choose the regularization, every class needs two training clips.")
    probe = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": 10.0 ** np.arange(-5, 2)},
        cv=StratifiedKFold(min(5, fewest), shuffle=True, random_state=as_seed(seed)),
        n_jobs=-1,
    ).fit(features, labels)
    return float(probe.score(test_features, test_labels))
