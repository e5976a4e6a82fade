"""`ReconstructionPictures`: pictures for TensorBoard, after every so many epochs."""

import types

import numpy as np
import pytest

from keras_asit.callbacks import ReconstructionPictures
from keras_asit.callbacks.pictures import draw_reconstructions

BATCH = {"clean": np.random.default_rng(1).normal(size=(3, 2, 32, 16)).astype("float32")}


class Pretrainer:
    """Stands for a pretrainer that reconstructs nothing."""

    def predict_on_batch(self, batch):
        clean = batch["clean"]
        nothing = np.zeros_like(clean)
        return {"clean": clean, "corrupted": nothing, "reconstruction": nothing, "mask": nothing}


def test_each_clip_has_a_picture():
    pictures = draw_reconstructions(Pretrainer(), BATCH)
    assert len(pictures) == 3
    assert all(picture.ndim == 3 and picture.shape[2] == 3 for picture in pictures)
    assert all(picture.dtype == "uint8" and picture.std() > 0 for picture in pictures)


def test_pictures_are_written_every_so_many_epochs(tmp_path):
    callback = ReconstructionPictures(BATCH, tmp_path, num_pictures=2, every_epochs=2)
    callback.set_model(types.SimpleNamespace(predict_on_batch=Pretrainer().predict_on_batch))
    callback.on_epoch_end(0)
    assert not list(tmp_path.iterdir())
    callback.on_epoch_end(1)
    callback.on_train_end()
    (events,) = tmp_path.iterdir()
    assert "events.out.tfevents" in events.name
    assert b"reconstruction" in events.read_bytes()


@pytest.mark.parametrize("name", ["num_pictures", "every_epochs"])
def test_arguments_are_checked(name):
    with pytest.raises(ValueError, match=name):
        ReconstructionPictures(BATCH, "logs", **{name: 0})
