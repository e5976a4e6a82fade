"""`StopOnNonFinite`: an end with a word about what was wrong."""

import types

import pytest

from keras_asit.callbacks import StopOnNonFinite
from keras_asit.callbacks.continuation import CallbackState

GOOD = {"loss": 1.0, "non_finite_steps": 0.0}
COUNTED = {"loss": 1.0, "non_finite_steps": 1.0}


def files(epoch, first, last):
    return [f"{epoch}_{batch}.wav" for batch in range(first, last + 1)]


def watch(skip_non_finite=False, **kwargs):
    callback = StopOnNonFinite(**kwargs)
    callback.set_model(types.SimpleNamespace(step=7, skip_non_finite=skip_non_finite))
    callback.on_epoch_begin(2)
    callback.on_train_batch_end(0, GOOD)
    return callback


@pytest.mark.parametrize("logs", [COUNTED, {"loss": float("nan")}, {"loss": float("inf")}])
def test_stops_and_names_step_and_files(logs):
    with pytest.raises(FloatingPointError, match=r"batch 2 of epoch 3 \(step 7\).*Files: 2_1.wav"):
        watch(files=files).on_train_batch_end(1, logs)


def test_names_every_batch_of_an_execution_of_several_steps():
    with pytest.raises(FloatingPointError, match=r"batches 2 to 4 .* 2_1.wav, 2_2"):
        watch(files=files).on_train_batch_end(3, COUNTED)


def test_a_skipped_step_is_named_once_and_training_goes_on(recwarn):
    callback = watch(skip_non_finite=True, files=files)
    with pytest.warns(UserWarning, match="Skipped: .* Files: 2_1.wav"):
        callback.on_train_batch_end(1, COUNTED)
    callback.on_train_batch_end(2, COUNTED)
    assert not recwarn.list


def test_a_training_that_goes_on_counts_on(recwarn):
    first, rest = watch(skip_non_finite=True), watch(skip_non_finite=True)
    state = CallbackState(first)
    with pytest.warns(UserWarning, match="Skipped"):
        first.on_train_batch_end(1, COUNTED)
    CallbackState(rest).set(state.get([]), [])
    rest.on_train_batch_end(2, COUNTED)
    assert not recwarn.list


def test_an_epoch_in_which_everything_is_skipped_is_the_end():
    callback = StopOnNonFinite()
    callback.set_model(types.SimpleNamespace(step=7, skip_non_finite=True))
    callback.on_epoch_begin(0)
    with pytest.warns(UserWarning, match="Skipped"):
        callback.on_train_batch_end(0, {"loss": 0.0, "non_finite_steps": 1.0})
    with pytest.raises(FloatingPointError, match="In epoch 1, no loss was finite"):
        callback.on_epoch_end(0)
