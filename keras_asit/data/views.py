"""Random crops of a clip, as spectrograms or as waveforms."""

import math

import tensorflow as tf

from keras_asit._arguments import check_integers, check_number
from keras_asit.layers.log_mel_filterbank import FLOOR


class RandomViews:
    """Cut two random crops, and short ones, out of a waveform inside a `tf.data` pipeline.

    The starts of the crops of one waveform lie whole frame shifts apart, so that crops which
    overlap have frames in common: the filterbank runs once over all that the crops cover.
    Arguments are those of `keras_asit.data.pretraining_dataset`.
    """

    def __init__(
        self,
        converter,
        *,
        crop_seconds,
        num_short_crops,
        short_crop_seconds,
        patch_frames,
        roll_probability,
        spectrograms=True,
    ):
        check_number("crop_seconds", crop_seconds, 0)
        check_integers(0, num_short_crops=num_short_crops)
        longest = crop_seconds if num_short_crops else None
        check_number("short_crop_seconds", short_crop_seconds, 0, longest)
        check_integers(1, patch_frames=patch_frames)
        check_number("roll_probability", roll_probability, 0, 1)
        self.converter = converter
        self.shift = converter.filterbank.shift
        self.roll_probability = roll_probability
        self.spectrograms = spectrograms
        crops = [("crop_seconds", crop_seconds)] * 2
        crops += [("short_crop_seconds", short_crop_seconds)] * num_short_crops
        self.lengths = [round(seconds * converter.sample_rate) for _, seconds in crops]
        self.frames = [converter.frames_in(seconds, patch_frames) for _, seconds in crops]
        for (name, seconds), frames in zip(crops, self.frames):
            if not frames:
                raise ValueError(
                    f"`{name}` must give at least {patch_frames} frames of 25 ms every 10 ms. "
                    f"Received: {name}={seconds!r}"
                )

    def __call__(self, clip, seed, samples):
        """Return `{"clean": two views, "short": short ones, if any}` of a clip of so many samples.

        All randomness follows from the seed, an int64 tensor of shape `(2,)`.
        """
        samples = tf.maximum(tf.cast(samples, tf.int32), self.lengths[0])
        # In double precision, every sample of a long recording can be a start.
        uniform = tf.random.stateless_uniform([2 + len(self.lengths)], seed, dtype=tf.float64)
        clip = self._pad(clip, samples)
        offset = _scale(uniform[1], tf.shape(clip)[0])
        clip = tf.roll(clip, tf.where(uniform[0] < self.roll_probability, offset, 0), axis=0)
        views = self._cut(clip, self._starts(samples, uniform[2:]))
        batch = {"clean": tf.stack(views[:2])}
        if len(views) > 2:
            batch["short"] = tf.stack(views[2:])
        return batch

    def _pad(self, waveform, samples):
        return tf.pad(waveform, [[0, samples - tf.size(waveform)]])

    def _starts(self, samples, uniform):
        """Return starts: the first uniform, the others uniform whole shifts away from it."""
        first = _scale(uniform[0], samples - self.lengths[0] + 1)
        phase = first % self.shift
        starts = [first]
        for index, length in enumerate(self.lengths[1:], start=1):
            places = (samples - length - phase) // self.shift + 1
            starts.append(phase + self.shift * _scale(uniform[index], places))
        return starts

    def _cut(self, waveform, starts):
        if not self.spectrograms:
            return _slices(waveform, starts, self.lengths)
        stretch, frames = self._join(waveform, tf.stack(starts))
        log_mels = self.converter.normalize(self.converter.filterbank(stretch))
        return _slices(log_mels, tf.unstack(frames), self.frames)

    def _join(self, waveform, starts):
        """Return what the crops cover of a waveform, without the gaps, and their frames in it.

        Gaps are whole frame shifts long, and no crop has a frame across one.
        """
        # How many samples the frames of each crop span, in whole shifts.
        last_frame = -(-self.converter.filterbank.window // self.shift)
        extents = [(frames - 1 + last_frame) * self.shift for frames in self.frames]
        order = tf.argsort(starts)
        starts = tf.unstack(tf.gather(starts, order))
        stops = tf.unstack(starts + tf.gather(extents, order))
        covered = left_out = starts[0]
        pieces, frames = [], []
        for start, stop in zip(starts, stops):
            left_out += tf.maximum(0, start - covered)
            frames.append((start - left_out) // self.shift)
            begin = tf.maximum(start, covered)
            covered = tf.maximum(covered, stop)
            pieces.append(waveform[begin : tf.maximum(begin, stop)])
        return tf.concat(pieces, 0), tf.gather(tf.stack(frames), tf.argsort(order))


class LogMelViews(RandomViews):
    """Cut two random crops, and short ones, out of log-mels inside a `tf.data` pipeline.

    A clip is float16 of shape `(frames, mels)`, a frame every shift. Without rolling, the views
    are those of `RandomViews`, except that crops start on whole frames: a clip shorter than a crop
    is continued with the log-mels of zeros, and its last frames reach over its end. Rolling rolls
    frames, so that no frame has both the end and the beginning of the clip in it.
    """

    def _pad(self, log_mels, samples):
        missing = tf.maximum(0, -(-samples // self.shift) - tf.shape(log_mels)[0])
        silence = tf.constant(math.log(FLOOR), log_mels.dtype)
        return tf.pad(log_mels, [[0, missing], [0, 0]], constant_values=silence)

    def _starts(self, samples, uniform):
        places = [(samples - length) // self.shift + 1 for length in self.lengths]
        return [_scale(uniform[index], number) for index, number in enumerate(places)]

    def _cut(self, log_mels, starts):
        return [self.converter.normalize(view) for view in _slices(log_mels, starts, self.frames)]


def _scale(uniform, number):
    """Return an integer below `number` from a uniform number in [0, 1)."""
    return tf.cast(uniform * tf.cast(number, tf.float64), tf.int32)


def _slices(clip, starts, lengths):
    return [
        tf.ensure_shape(clip[start : start + length], [length, *clip.shape[1:]])
        for start, length in zip(starts, lengths)
    ]
