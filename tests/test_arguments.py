"""What messages share."""

from keras_asit._arguments import name_some


def test_of_a_list_the_first_few_are_named():
    assert name_some(["a", "b"], 2) == "a, b"
    assert name_some(["a", "b", "c"], 2, separator="; ") == "a; b; ..."
    assert name_some(["\udce9.wav"]) == "\\udce9.wav"
