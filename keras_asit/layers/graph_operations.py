"""Operations for layers that also run inside `tf.data` under another backend."""

import keras


def operations_for(x):
    """Return the namespace to compute with `x` in.

    That is `keras.ops`, except for a symbolic TensorFlow tensor (of a `tf.data` pipeline) under
    another backend than TensorFlow: Keras has no public way to run its operations on those.
    """
    if keras.config.backend() == "tensorflow" or not _is_symbolic_tensorflow(x):
        return keras.ops
    return _TensorFlowOperations()


def _is_symbolic_tensorflow(x):
    return type(x).__module__.startswith("tensorflow") and not hasattr(x, "numpy")


class _TensorFlowOperations:
    """Those functions of `keras.ops` that the audio front end needs, in TensorFlow."""

    def __init__(self):
        import tensorflow as tf

        self.concatenate = tf.concat
        self.convert_to_tensor = tf.cast
        self.log = tf.math.log
        self.matmul = tf.matmul
        self.maximum = tf.maximum
        self.mean = tf.reduce_mean
        self.pad = tf.pad
        self.reshape = tf.reshape
        self.shape = tf.shape
        self.zeros = tf.zeros
        self._tf = tf

    def rfft(self, x, fft_length):
        spectrum = self._tf.signal.rfft(x, fft_length=[fft_length])
        return self._tf.math.real(spectrum), self._tf.math.imag(spectrum)
