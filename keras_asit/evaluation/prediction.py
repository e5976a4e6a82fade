"""What a model says of whole recordings."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_asit.data import read_manifest
from keras_asit.evaluation.windows import window_dataset
from keras_asit.models import ASiTAudioClassifier, ASiTAudioConverter


def predict_recordings(
    model: keras.Model,
    source: str | Sequence[str],
    *,
    converter: ASiTAudioConverter | None = None,
    overlap: float = 0.0,
    batch_size: int = 32,
    at_least: int = 1,
    pad_with_silence: bool = False,
    verbose: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a model over recordings of any length, and average over the windows of each.

    Args:
        model: an `ASiTAudioClassifier`, whose probabilities are averaged, or a `keras.Model`
            from spectrograms of shape `(batch, frames, mels)` to a tensor.
        source: str, `os.PathLike`, or list of them; see `keras_asit.data.read_manifest`.
        converter: an `ASiTAudioConverter` with the frames and mel bins of the model. A window
            is what fills its frames. Defaults to `None`, that of the classifier.
        overlap, batch_size, at_least: as in `window_dataset`.
        pad_with_silence: bool. As in `window_dataset`; `True` suits a backbone that is not
            fine-tuned. Defaults to `False`.
        verbose: int. `1` shows a progress bar of the files. Defaults to `0`.

    Returns:
        A tuple: float32 array of shape `(recordings, ...)`, and the indices of those
        recordings in `read_manifest(source)`. Files that cannot be read are left out, with a
        warning.

    Raises:
        ValueError, tf.errors.InvalidArgumentError: as in `window_dataset`.

    Example:

    ```python
    probabilities, indices = keras_asit.evaluation.predict_recordings(classifier, "sounds")
    ```
    """
    if isinstance(model, ASiTAudioClassifier):
        if converter is None and model.preprocessor is not None:
            converter = model.preprocessor.audio_converter
        model = model.probability_model()
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    paths = read_manifest(source)
    options = {"overlap": overlap, "batch_size": batch_size, "at_least": at_least}
    windows = window_dataset(paths, converter, pad_with_silence=pad_with_silence, **options)
    outputs, owners = [np.zeros((0, *model.output_shape[1:]))], [np.zeros(0, "int64")]
    progress = keras.utils.Progbar(len(paths), verbose=verbose, unit_name="file")
    for spectrograms, indices in windows.as_numpy_iterator():
        outputs.append(model.predict_on_batch(spectrograms))
        owners.append(indices)
        progress.update(indices[-1])
    progress.update(len(paths), finalize=True)
    # The windows of a recording follow each other.
    outputs, owners = np.concatenate(outputs), np.concatenate(owners)
    indices, firsts, counts = np.unique(owners, return_index=True, return_counts=True)
    sums = np.add.reduceat(outputs, firsts, axis=0)
    return (sums / counts.reshape(-1, *[1] * (sums.ndim - 1))).astype("float32"), indices
