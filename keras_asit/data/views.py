"""Random crops of a clip, as spectrograms or as waveforms."""

import math
import numbers

from keras_asit._arguments import check_number, check_positive_integer
from keras_asit.layers.log_mel_filterbank import FLOOR
from keras_asit.models import ASiTAudioConverter

PATCH_FRAMES = 16


def view_arguments(
    sample_rate,
    crop_seconds,
    num_short_crops,
    short_crop_seconds,
    num_mels,
    mean,
    standard_deviation,
    roll_probability,
):
    """Return arguments, once they are checked, as `RandomViews` and `LogMelViews` take them."""
    check_positive_integer("sample_rate", sample_rate)
    check_number("crop_seconds", crop_seconds, 0)
    is_integer = isinstance(num_short_crops, numbers.Integral)
    if not is_integer or isinstance(num_short_crops, bool) or num_short_crops < 0:
        raise ValueError(
            f"`num_short_crops` must be an integer of at least 0. "
            f"Received: num_short_crops={num_short_crops!r}"
        )
    longest = crop_seconds if num_short_crops else None
    check_number("short_crop_seconds", short_crop_seconds, 0, longest)
    check_number("roll_probability", roll_probability, 0, 1)

    def converter(name, seconds):
        full = ASiTAudioConverter(
            sample_rate, 1, num_mels, mean=mean, standard_deviation=standard_deviation
        )
        frames = full.filterbank.num_frames(round(seconds * sample_rate))
        if frames < PATCH_FRAMES:
            raise ValueError(
                f"`{name}` must give at least {PATCH_FRAMES} frames of 25 ms every 10 ms. "
                f"Received: {name}={seconds!r}"
            )
        frames -= frames % PATCH_FRAMES
        return ASiTAudioConverter(
            sample_rate, frames, num_mels, mean=mean, standard_deviation=standard_deviation
        )

    return {
        "converter": converter("crop_seconds", crop_seconds),
        "short_converter": (
            converter("short_crop_seconds", short_crop_seconds) if num_short_crops else None
        ),
        "crop": round(crop_seconds * sample_rate),
        "short_crop": round(short_crop_seconds * sample_rate),
        "num_short_crops": num_short_crops,
        "roll_probability": roll_probability,
    }


class RandomViews:
    """Cut two random crops, and short ones, out of a waveform inside a `tf.data` pipeline.

    The starts of the crops of one waveform lie whole frame shifts apart, so that crops which
    overlap have frames in common: the filterbank runs once over all that the crops cover. Two
    crops of 6 s of a clip of 10 s cover 7.3 s on average, and it takes that part of the time.

    Args:
        converter: `ASiTAudioConverter` that makes the spectrogram of a crop.
        short_converter: `ASiTAudioConverter` that makes that of a short crop.
        crop: int. Samples of a crop.
        short_crop: int. Samples of a short crop; at most `crop`.
        num_short_crops: int. Number of short crops.
        roll_probability: float. How often the waveform is rolled first.
        spectrograms: bool. Whether views are spectrograms or waveforms.
    """

    def __init__(
        self,
        converter,
        short_converter,
        crop,
        short_crop,
        num_short_crops,
        roll_probability,
        spectrograms,
    ):
        self.converters = [converter] * 2 + [short_converter] * num_short_crops
        self.lengths = [crop] * 2 + [short_crop] * num_short_crops
        self.shift = converter.filterbank.shift
        self.roll_probability = roll_probability
        self.spectrograms = spectrograms

    def __call__(self, waveform, seed):
        """Return `{"clean": two views, "short": short ones, if any}` of a waveform.

        Args:
            waveform: float32 tensor of shape `(samples,)`.
            seed: int64 tensor of shape `(2,)`, from which all randomness follows.
        """
        import tensorflow as tf

        # In double precision, every sample of a long recording can be a start.
        uniform = tf.random.stateless_uniform([2 + len(self.lengths)], seed, dtype=tf.float64)
        waveform = self._roll(self._pad(waveform), uniform[0], uniform[1])
        starts = self._draw_starts(tf.size(waveform), uniform[2:])
        views = (self._spectrograms if self.spectrograms else self._crops)(waveform, starts)
        batch = {"clean": tf.stack(views[:2])}
        if len(views) > 2:
            batch["short"] = tf.stack(views[2:])
        return batch

    def _pad(self, waveform):
        import tensorflow as tf

        missing = tf.maximum(0, self.lengths[0] - tf.size(waveform))
        return tf.pad(waveform, [[0, missing]])

    def _roll(self, waveform, choice, offset):
        import tensorflow as tf

        offset = _scale(offset, tf.size(waveform))
        return tf.roll(waveform, tf.where(choice < self.roll_probability, offset, 0), axis=0)

    def _draw_starts(self, size, uniform):
        """Return starts: the first uniform, the others uniform whole shifts away from it."""
        first = _scale(uniform[0], size - self.lengths[0] + 1)
        phase = first % self.shift
        starts = [first]
        for index, length in enumerate(self.lengths[1:], start=1):
            positions = (size - length - phase) // self.shift + 1
            starts.append(phase + self.shift * _scale(uniform[index], positions))
        return starts

    def _crops(self, waveform, starts):
        import tensorflow as tf

        return [
            tf.ensure_shape(waveform[start : start + length], [length])
            for start, length in zip(starts, self.lengths)
        ]

    def _spectrograms(self, waveform, starts):
        import tensorflow as tf

        stretch, frames = self._join(waveform, tf.stack(starts))
        converter = self.converters[0]
        log_mels = converter.normalize(converter.filterbank(stretch))
        views = []
        for frame, converter in zip(tf.unstack(frames), self.converters):
            view = log_mels[frame : frame + converter.num_frames]
            views.append(tf.ensure_shape(view, converter.audio_shape()))
        return views

    def _join(self, waveform, starts):
        """Return what the crops cover of a waveform, without the gaps, and their frames in it.

        Gaps are whole frame shifts long, and no crop has a frame across one.
        """
        import tensorflow as tf

        order = tf.argsort(starts)
        starts = tf.unstack(tf.gather(starts, order))
        stops = tf.unstack(starts + tf.gather(self._extents(), order))
        covered = left_out = starts[0]
        pieces, frames = [], []
        for start, stop in zip(starts, stops):
            left_out += tf.maximum(0, start - covered)
            frames.append((start - left_out) // self.shift)
            begin = tf.maximum(start, covered)
            covered = tf.maximum(covered, stop)
            pieces.append(waveform[begin : tf.maximum(begin, stop)])
        return tf.concat(pieces, 0), tf.gather(tf.stack(frames), tf.argsort(order))

    def _extents(self):
        """Return for each crop how many samples its frames span, in whole shifts."""
        window = self.converters[0].filterbank.window
        last_frame = -(-window // self.shift)
        return [
            (converter.num_frames - 1 + last_frame) * self.shift for converter in self.converters
        ]


def _scale(uniform, number):
    """Return an integer below `number` from a uniform number in [0, 1)."""
    import tensorflow as tf

    return tf.cast(uniform * tf.cast(number, tf.float64), tf.int32)


class LogMelViews:
    """Cut two random crops, and short ones, out of log-mels inside a `tf.data` pipeline.

    Without rolling, the views are those of `RandomViews`, except that crops start on whole
    frames: a clip shorter than a crop is continued with the log-mels of zeros, and its last
    frames reach over its end, as those of a waveform padded with zeros do. Rolling rolls frames,
    so that no frame has both the end and the beginning of the clip in it.

    Args:
        converter: `ASiTAudioConverter` of the spectrogram of a crop.
        short_converter: `ASiTAudioConverter` of that of a short crop.
        crop: int. Samples of a crop.
        short_crop: int. Samples of a short crop; at most `crop`.
        num_short_crops: int. Number of short crops.
        roll_probability: float. How often the clip is rolled first.
    """

    def __init__(
        self, converter, short_converter, crop, short_crop, num_short_crops, roll_probability
    ):
        self.frames = [converter.num_frames] * 2
        self.lengths = [crop] * 2
        if num_short_crops:
            self.frames += [short_converter.num_frames] * num_short_crops
            self.lengths += [short_crop] * num_short_crops
        self.shift = converter.filterbank.shift
        self.num_mels = converter.num_mels
        self.roll_probability = roll_probability

    def __call__(self, log_mels, samples, seed):
        """Return `{"clean": two views, "short": short ones, if any}`, not normalised.

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
            batch["short"] = tf.stack(views[2:])
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
