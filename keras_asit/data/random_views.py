"""Random crops of a waveform, as spectrograms or as waveforms."""


class RandomViews:
    """Cut two random crops, and short ones, out of a waveform inside a `tf.data` pipeline.

    The starts of the crops of one waveform lie whole frame shifts apart. Crops of a clip that
    is not much longer than they are overlap, and so have most of their frames in common: the
    filterbank then runs once over the stretch from the first crop to the last.

    Args:
        converter: `ASiTAudioConverter` that makes the spectrogram of a crop.
        local_converter: `ASiTAudioConverter` that makes that of a short crop.
        crop: int. Samples of a crop.
        local_crop: int. Samples of a short crop; at most `crop`.
        num_local_crops: int. Number of short crops.
        roll_probability: float. How often the waveform is rolled first.
        spectrograms: bool. Whether views are spectrograms or waveforms.
    """

    def __init__(
        self,
        converter,
        local_converter,
        crop,
        local_crop,
        num_local_crops,
        roll_probability,
        spectrograms,
    ):
        self.converters = [converter] * 2 + [local_converter] * num_local_crops
        self.lengths = [crop] * 2 + [local_crop] * num_local_crops
        self.shift = converter.filterbank.shift
        self.roll_probability = roll_probability
        self.spectrograms = spectrograms

    def __call__(self, waveform, seed):
        """Return `{"clean": two views, "local": short ones, if any}` of a waveform.

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
            batch["local"] = tf.stack(views[2:])
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

        first = tf.reduce_min(starts)
        last = tf.reduce_max(tf.stack(starts) + self.lengths)
        return tf.cond(
            last - first <= sum(self.lengths),
            lambda: self._shared_spectrograms(waveform[first:last], starts - first),
            lambda: self._separate_spectrograms(waveform, starts),
        )

    def _shared_spectrograms(self, stretch, starts):
        import tensorflow as tf

        converter = self.converters[0]
        log_mels = converter.filterbank(stretch)
        log_mels = (log_mels - converter.mean) / (2 * converter.standard_deviation)
        views = []
        for index, converter in enumerate(self.converters):
            frame = starts[index] // self.shift
            view = log_mels[frame : frame + converter.num_frames]
            views.append(tf.ensure_shape(view, converter.audio_shape()))
        return views

    def _separate_spectrograms(self, waveform, starts):
        crops = self._crops(waveform, starts)
        return [converter(crop) for converter, crop in zip(self.converters, crops)]


def _scale(uniform, number):
    """Return an integer below `number` from a uniform number in [0, 1)."""
    import tensorflow as tf

    return tf.cast(uniform * tf.cast(number, tf.float64), tf.int32)
