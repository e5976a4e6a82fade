"""The audio operators of tensorflow-io, or the reason why there are none."""

import importlib
import warnings

INSTALLATION = (
    "In an environment of its own, install the extra `tfio`, which pins both: pip install "
    '"keras-asit[tfio]". Or choose decoder="soundfile", which needs neither.'
)


def load_tensorflow_io():
    """Return the module `tensorflow_io.audio` once its native operators are known to load.

    Raises:
        ImportError: If tensorflow-io is not installed, or its operators do not load beside the
            TensorFlow that is.
    """
    import tensorflow as tf

    needs = (
        'decoder="tensorflow_io" needs the native operators of tensorflow-io 0.37 beside '
        f"TensorFlow 2.17. Found: TensorFlow {tf.__version__} and"
    )
    with warnings.catch_warnings():
        # Beside another TensorFlow the import warns, at length, of what is reported here.
        warnings.simplefilter("ignore")
        try:
            audio = importlib.import_module("tensorflow_io").audio
        except ImportError as error:
            raise ImportError(f"{needs} no tensorflow-io ({error}). {INSTALLATION}") from error
        try:
            # The library is loaded when an operator is first used.
            audio.encode_wav(tf.zeros([1, 1], tf.int16), 16000)
        except (NotImplementedError, OSError, tf.errors.OpError) as error:
            raise ImportError(
                f"{needs} a tensorflow-io whose operators do not load beside it. {INSTALLATION}"
            ) from error
    return audio
