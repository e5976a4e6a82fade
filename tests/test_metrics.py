"""Mean average precision, AUC and d' against scikit-learn; streaming, limits, bad input."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_asit.metrics import DPrime, MeanAUC, MeanAveragePrecision

ALL = [MeanAveragePrecision, MeanAUC, DPrime]


def clips(number=200, classes=7, values=20, seed=1):
    """Return labels and scores that depend on them, with many ties if `values` are few."""
    generator = np.random.default_rng(seed)
    labels = generator.uniform(size=(number, classes)) < generator.uniform(0.05, 0.5, classes)
    scores = np.round((generator.uniform(size=labels.shape) + 0.3 * labels) * values) / values
    return labels.astype("int32"), scores.astype("float32")


def result(metric, labels, scores, batch_size=None):
    for start in range(0, len(labels), batch_size or len(labels)):
        stop = start + (batch_size or len(labels))
        metric.update_state(labels[start:stop], scores[start:stop])
    return float(ops.convert_to_numpy(metric.result()))


@pytest.mark.parametrize("values", [3, 20, 1_000_000])
def test_they_are_those_of_scikit_learn(values):
    labels, scores = clips(values=values)
    precision = average_precision_score(labels, scores, average="macro")
    auc = roc_auc_score(labels, scores, average="macro")
    d_prime = np.sqrt(2) * scipy.stats.norm.ppf(auc)
    for metric, expected in zip(ALL, (precision, auc, d_prime)):
        assert result(metric(7, 300), labels, scores) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_of_many_clips_and_classes():
    labels, scores = clips(20_000, 527, values=1000)
    labels[:, 3] = 0
    metric = MeanAveragePrecision(527, capacity=20_000)
    # What scikit-learn gives a class without a positive clip, and counts.
    each = [average_precision_score(labels[:, c], scores[:, c]) for c in range(527) if c != 3]
    assert result(metric, labels, scores) == pytest.approx(np.sum(each) / 527, abs=1e-6)


def test_a_class_without_a_positive_clip_counts_as_zero_or_has_no_curve():
    labels, scores = clips()
    labels[:, 2] = 0
    others = [0, 1, 3, 4, 5, 6]
    expected = average_precision_score(labels[:, others], scores[:, others])
    precision = result(MeanAveragePrecision(7, 300), labels, scores)
    assert precision == pytest.approx(expected * 6 / 7, abs=1e-6)
    expected = roc_auc_score(labels[:, others], scores[:, others])
    assert result(MeanAUC(7, 300), labels, scores) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_batches_and_order_do_not_matter(metric):
    labels, scores = clips()
    at_once = result(metric(7, 200), labels, scores)
    in_batches = metric(7, 250)
    assert result(in_batches, labels[::-1], scores[::-1], 33) == pytest.approx(at_once, abs=1e-6)
    in_batches.reset_state()
    assert result(in_batches, labels, scores, 64) == pytest.approx(at_once, abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_more_clips_than_the_capacity_or_a_score_that_is_no_number_give_no_number(metric):
    labels, scores = clips()
    assert np.isnan(result(metric(7, 199), labels, scores, 50))
    assert not np.isnan(result(metric(7, 200), labels, scores, 50))
    scores[5, 5] = np.nan
    assert np.isnan(result(metric(7, 200), labels, scores))


def test_evaluate_of_a_model():
    labels, scores = clips(50)
    model = keras.Sequential([keras.Input((7,)), keras.layers.Identity()])
    metrics = [metric(7, 64) for metric in ALL]
    model.compile(loss="mse", metrics=metrics)
    logs = model.evaluate(scores, labels, batch_size=16, verbose=0, return_dict=True)
    for metric in ALL:
        expected = result(metric(7, 64), labels, scores)
        assert logs[metric(7).name] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_config_round_trip(metric):
    copy = metric.from_config(metric(3, 40, name="other").get_config())
    assert (copy.num_classes, copy.capacity, copy.name) == (3, 40, "other")


def test_bad_arguments_are_errors():
    labels, scores = clips()
    with pytest.raises(ValueError, match="`capacity` must be a positive integer"):
        MeanAUC(7, 0)
    with pytest.raises(ValueError, match=r"`y_pred` must have shape \(batch, 8\)"):
        MeanAUC(8, 300).update_state(np.zeros((200, 8)), scores)
    with pytest.raises(ValueError, match="takes no `sample_weight`"):
        MeanAUC(7, 300).update_state(labels, scores, np.ones(200))
