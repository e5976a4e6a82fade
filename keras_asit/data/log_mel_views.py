"""Random crops of log-mels."""

import math

from keras_asit.layers.log_mel_filterbank import FLOOR


class LogMelViews:
    """Cut two random crops, and short ones, out of log-mels inside a `tf.data` pipeline.

    Without rolling, the views are those of `RandomViews`, except that crops start on whole
    frames: a clip shorter than a crop is continued with the log-mels of zeros, and its last
    frames reach over its end, as those of a waveform padded with zeros do. Rolling rolls frames,
    so that no frame has both the end and the beginning of the clip in it.

    Args:
        converter: `ASiTAudioConverter` of the spectrogram of a crop.
        local_converter: `ASiTAudioConverter` of that of a short crop.
        crop: int. Samples of a crop.
        local_crop: int. Samples of a short crop; at most `crop`.
        num_local_crops: int. Number of short crops.
        roll_probability: float. How often the clip is rolled first.
    """

    def __init__(
        self, converter, local_converter, crop, local_crop, num_local_crops, roll_probability
    ):
        self.frames = [converter.num_frames] * 2
        self.lengths = [crop] * 2
        if num_local_crops:
            self.frames += [local_converter.num_frames] * num_local_crops
            self.lengths += [local_crop] * num_local_crops
        self.shift = converter.filterbank.shift
        self.num_mels = converter.num_mels
        self.roll_probability = roll_probability

    def __call__(self, log_mels, samples, seed):
        """Return `{"clean": two views, "local": short ones, if any}`, not normalised.

        Args:
            log_mels: float16 tensor of shape `(frames, mels)`, a frame every shift of the clip.
            samples: int64 tensor. Samples of the clip.
            seed: int64 tensor of shape `(2,)`, from which all randomness follows.
        """
        import tensorflow as tf

        uniform = tf.random.stateless_uniform([2 + len(self.lengths)], seed, dtype=tf.float64)
        samples = tf.maximum(samples, self.lengths[0])
        log_mels = self._pad(log_mels, -(-samples // self.shift))
        log_mels = self._roll(log_mels, uniform[0], uniform[1])
        starts = (samples - tf.constant(self.lengths, tf.int64)) // self.shift + 1
        starts = tf.unstack(tf.cast(uniform[2:] * tf.cast(starts, tf.float64), tf.int32))
        views = [
            tf.ensure_shape(log_mels[start : start + frames], [frames, self.num_mels])
            for start, frames in zip(starts, self.frames)
        ]
        batch = {"clean": tf.stack(views[:2])}
        if len(views) > 2:
            batch["local"] = tf.stack(views[2:])
        return batch

    def _pad(self, log_mels, frames):
        import tensorflow as tf

        missing = tf.maximum(0, tf.cast(frames, tf.int32) - tf.shape(log_mels)[0])
        silence = tf.constant(math.log(FLOOR), log_mels.dtype)
        return tf.pad(log_mels, [[0, missing], [0, 0]], constant_values=silence)

    def _roll(self, log_mels, choice, offset):
        import tensorflow as tf

        offset = tf.cast(offset * tf.cast(tf.shape(log_mels)[0], tf.float64), tf.int32)
        return tf.cond(
            choice < self.roll_probability,
            lambda: tf.roll(log_mels, offset, axis=0),
            lambda: log_mels,
        )
