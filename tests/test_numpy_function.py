"""Calls of Python by threads that are not Python's, at the end of the interpreter."""

import threading

import pytest
import tensorflow as tf

from keras_asit._numpy_function import Calls, numpy_function


def test_the_end_waits_for_calls_under_way_and_further_ones_fail():
    calls, begun, may_return, returned = Calls(), threading.Event(), threading.Event(), []

    def slow(value):
        begun.set()
        may_return.wait()
        return value + 1

    call = threading.Thread(target=lambda: returned.append(calls.call(slow, (1,))))
    end = threading.Thread(target=calls.end)
    call.start()
    begun.wait()
    end.start()
    end.join(0.3)
    assert end.is_alive()
    with pytest.raises(StopIteration):
        calls.call(slow, (1,))
    may_return.set()
    end.join()
    call.join()
    assert returned == [2]


def test_a_function_in_a_graph_computes_and_fails_as_it_is():
    def inverse(value):
        if not value:
            raise ValueError("no inverse of 0")
        return 1 / value

    numbers = tf.data.Dataset.from_tensor_slices([2.0, 4.0, 0.0])
    inverses = iter(numbers.map(lambda each: numpy_function(inverse, [each], tf.float32)))
    assert [next(inverses).numpy(), next(inverses).numpy()] == [0.5, 0.25]
    with pytest.raises(tf.errors.InvalidArgumentError, match="no inverse of 0"):
        next(inverses)
