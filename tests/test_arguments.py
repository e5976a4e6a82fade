"""What checks and messages share."""

import numpy as np
import pytest

from keras_asit._arguments import (
    arguments_of,
    check_instance,
    check_integers,
    check_number,
    name_some,
)


def test_integers_are_checked_by_name():
    check_integers(1, first=1, second=np.int64(7))
    check_integers(0, or_none=True, first=0, second=None)
    with pytest.raises(ValueError, match=r"`second` must be a positive integer\. .* second=0"):
        check_integers(1, first=1, second=0)
    with pytest.raises(ValueError, match="`first` must be an integer of at least 0 or None"):
        check_integers(0, or_none=True, first=-1)
    for value in (True, 1.0, "1", None):
        with pytest.raises(ValueError, match="`first` must be a positive integer"):
            check_integers(1, first=value)


def test_numbers_are_checked_with_what_limits_they_have():
    check_number("rate", np.float32(0.5), 0, 1)
    for limits, accepted in {
        (): r"a number\.",
        (0,): r"a number of at least 0\.",
        (0, 1): r"a number between 0 and 1\.",
    }.items():
        for value in (True, "1", None, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"`rate` must be {accepted}"):
                check_number("rate", value, *limits)
    for value in (-1, 2):
        with pytest.raises(ValueError, match=f"rate={value}"):
            check_number("rate", value, 0, 1)


def test_arguments_of_a_class_are_those_that_its_constructor_names():
    class Parent:
        def __init__(self, first, *, second=2):
            self.first, self.second = first, second

    class Child(Parent):
        def __init__(self, third, **kwargs):
            super().__init__(**kwargs)
            self.third = third

    child = Child(3, first=1)
    assert arguments_of(Parent, child) == {"first": 1, "second": 2}
    assert arguments_of(Child, child) == {"third": 3}


def test_what_is_of_another_class_is_refused_by_name():
    check_instance("seed", True, int)
    with pytest.raises(ValueError, match="`rate` must be a float"):
        check_instance("rate", "fast", float)
    with pytest.raises(ValueError, match=r"`error` must be an OSError\. Received: int"):
        check_instance("error", 3, OSError)


def test_of_a_list_the_first_few_are_named():
    assert name_some(["a", "b"], 2) == "a, b"
    assert name_some(["a", "b", "c"], 2, separator="; ") == "a; b; ..."
    assert name_some(["\udce9.wav"]) == "\\udce9.wav"
