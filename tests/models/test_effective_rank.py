"""How collapse of the teacher shows: the effective rank of its embeddings, and its entropy."""

import numpy as np
import pytest
from small_pretrainer import batch_of, compiled, weights_of

from keras_asit.callbacks import LogSchedules
from keras_asit.metrics import SecondMoment


def effective_rank(embeddings):
    """By its definition, from the singular values of the whole matrix."""
    values = np.linalg.svd(embeddings.astype("float64"), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return np.exp(-np.sum(shares * np.log(shares)))


@pytest.mark.parametrize("dimensions", [1, 3, 48])
def test_it_is_that_of_all_embeddings_whatever_the_batches(dimensions):
    generator = np.random.default_rng(1)
    scales = np.geomspace(1, 0.1, dimensions)[:, None]
    embeddings = generator.normal(size=(400, dimensions)) @ (
        scales * generator.normal(size=(dimensions, 48))
    )
    moment = SecondMoment(48)
    for rows in np.split(embeddings.astype("float32"), [7, 130, 131]):
        moment.update_state(rows.reshape(len(rows), 1, 48))
    expected = effective_rank(embeddings)
    assert moment.effective_rank() == pytest.approx(expected, rel=1e-3)
    assert expected <= dimensions + 1e-6
    moment.reset_state()
    assert np.isnan(moment.effective_rank())


def test_embeddings_that_are_not_finite_have_none():
    moment = SecondMoment(2)
    moment.update_state(np.array([[1.0, np.nan]]))
    assert np.isnan(moment.effective_rank())


def fit(pretrainer):
    callbacks = [LogSchedules()]
    batches = {"clean": batch_of(8)}
    history = pretrainer.fit(batches, batch_size=4, callbacks=callbacks, verbose=0).history
    return {name: values[0] for name, values in history.items()}


def test_an_epoch_logs_the_rank_of_its_clips_and_the_entropies():
    pretrainer = compiled(teacher_momentum=1.0, jit_compile=False)
    tokens = pretrainer.teacher.backbone.predict(batch_of(8).reshape(16, 32, 32), verbose=0)
    logs = fit(pretrainer)
    assert logs["effective_rank"] == pytest.approx(effective_rank(tokens[:, 0]), rel=0.01)
    assert 1 < logs["effective_rank"] < 16
    assert 0 < logs["teacher_class_entropy"] < np.log(24)
    assert 0 < logs["teacher_patch_entropy"] < np.log(16)


def test_a_teacher_that_says_the_same_of_every_clip_has_rank_1_and_full_entropy():
    pretrainer = compiled(teacher_momentum=1.0, jit_compile=False)
    pretrainer.teacher.set_weights([np.ones_like(w) for w in weights_of(pretrainer.teacher)])
    logs = fit(pretrainer)
    assert logs["effective_rank"] == pytest.approx(1, abs=0.01)
    assert logs["teacher_class_entropy"] == pytest.approx(np.log(24), rel=1e-3)
    assert logs["teacher_patch_entropy"] == pytest.approx(np.log(16), rel=1e-3)
