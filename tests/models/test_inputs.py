"""What comes into a task: clips, batches of them, and labels of every form."""

import numpy as np
import pytest
import tensorflow as tf

from keras_asit.models.inputs import as_batches, as_clips, as_indices, as_shares, split_clips


def test_clips_of_several_lengths_are_ragged():
    clips = [np.full(length, 0.1, "float32") for length in (5, 3)]
    assert as_clips(clips).row_lengths().numpy().tolist() == [5, 3]
    assert as_clips(clips[:1] * 2).shape == (2, 5)
    np.testing.assert_array_equal(
        as_clips(as_clips(clips)).to_tensor(), as_clips(clips).to_tensor()
    )


def test_spectrograms_are_finite_and_of_the_shape():
    spectrograms = np.zeros((2, 4, 3))
    assert as_clips(spectrograms, (4, 3)).dtype == "float32"
    with pytest.raises(ValueError, match=r"of shape \(batch, 3, 4\). Received: shape=\(2, 4, 3\)"):
        as_clips(spectrograms, (3, 4))
    spectrograms[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"finite\. Received: nan for clip 1"):
        as_clips(spectrograms, (4, 3))


def test_batches_are_shuffled_in_each_pass_if_told():
    x, y = np.stack([np.full(4000, index / 100, "float32") for index in range(64)]), range(64)
    passes = as_batches((x, np.asarray(y)), 64, shuffle=True)
    first, second = (next(iter(passes))[1].numpy().tolist() for _ in range(2))
    assert first != second and sorted(first) == sorted(second) == list(y)
    ordered = as_batches((x, np.asarray(y)), 64)
    assert next(iter(ordered))[1].numpy().tolist() == list(y)


def test_the_last_clips_are_for_validation():
    data = np.arange(10), {"weak": np.arange(10)}
    first, others = split_clips(data, 0.2)
    assert first[0].tolist() == first[1]["weak"].tolist() == list(range(8))
    assert others[0].tolist() == [8, 9]
    with pytest.raises(ValueError, match="leaves no clip of 10 on one side"):
        split_clips(data, 0.95)
    with pytest.raises(ValueError, match="needs clips at hand"):
        split_clips(tf.data.Dataset.range(10), 0.2)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["cat", "dog"] * 2, dtype=object),
        np.array([["cat"], ["dog"]] * 2),
        [b"cat", b"dog"] * 2,
        np.array([[0], [1]] * 2),
    ],
)
def test_labels_come_in_many_forms(labels):
    np.testing.assert_array_equal(as_indices(labels, 2, ["cat", "dog"]), [0, 1] * 2)


def test_labels_of_a_dataset_may_be_names_too():
    names = tf.data.Dataset.from_tensor_slices(["cat", "dog", "cow"]).batch(2)
    batches = iter(names.map(lambda batch: as_indices(batch, 2, ["cat", "dog"])))
    np.testing.assert_array_equal(next(batches), [0, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="'cow' for clip 0"):
        next(batches)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([None, 1], dtype=object), "numbers or names"),
        ([[0], [0, 1]], "lists of several lengths"),
    ],
)
def test_labels_of_no_form_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        as_indices(labels, 2, ["cat", "dog"])
    with pytest.raises(ValueError):
        as_shares(labels, (2,))
