"""What checks and messages share."""

import pytest

from keras_asit._arguments import check_instance, name_some


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
