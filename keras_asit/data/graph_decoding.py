"""Audio files decoded inside a TensorFlow graph, by tensorflow-io."""

import functools
import importlib
import os
import struct
import warnings

import numpy as np

from keras_asit.data.decoding import open_audio, read_samples, resample

# Container and encoding, as soundfile names them, to operator of tensorflow-io and its type.
OPERATORS = {
    ("WAV", "PCM_U8"): ("decode_wav", "uint8"),
    ("WAV", "PCM_16"): ("decode_wav", "int16"),
    ("WAV", "PCM_24"): ("decode_wav", "int32"),
    # The operator takes the bits of any 32-bit sample for those of a float.
    ("WAV", "PCM_32"): ("decode_wav", "float32"),
    ("WAV", "FLOAT"): ("decode_wav", "float32"),
    ("FLAC", "PCM_S8"): ("decode_flac", "uint8"),
    ("FLAC", "PCM_16"): ("decode_flac", "int16"),
    ("FLAC", "PCM_24"): ("decode_flac", "int32"),
    ("OGG", "VORBIS"): ("decode_vorbis", "float32"),
    ("MP3", "MPEG_LAYER_III"): ("decode_mp3", "float32"),
}
WAV_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
WAV_TAGS = {"FLOAT": 3}
# The operators count bytes in 32 bits.
LARGEST_FILE = 2**31 - 2**20
# Of full scale. Decoders of one lossy format differ in their rounding, which is far below this.
LARGEST_DIFFERENCE = 1e-5
NOT_DECODED = "which tensorflow-io does not decode"


class GraphDecoder:
    """Decode audio files with the operators of tensorflow-io, to the samples of soundfile.

    Damaged files make the operators crash, hang or return silence. So each file is decoded both
    ways before it comes into the graph for the first time, and refused unless the samples are
    the same. This costs as much as two passes, once; a file that changes is tried again.

    The operators decode whole files, of which a stretch is then kept. Of an mp3 file it may differ
    in its first 20 ms: those are wrong where soundfile begins in the middle. The operators do not
    resample as soxr does, so that soxr does it here too, in Python.

    Args:
        sample_rate: int. Sample rate of the waveforms in Hz.
        max_seconds: float. Of longer files, a stretch of this length is kept. Defaults to
            `None`: files are whole.

    Raises:
        ImportError: If the operators of tensorflow-io do not load.
    """

    def __init__(self, sample_rate, max_seconds=None):
        self.audio = load_tensorflow_io()
        self.sample_rate = sample_rate
        self.max_seconds = max_seconds
        self.known = {}

    def locate(self, path, offset=0.0):
        """Return what `__call__` needs to decode a file, as numpy arrays. Runs in Python.

        Args:
            path: str.
            offset: float in [0, 1]. Where the stretch lies; see `decode_audio`.

        Returns:
            A pair: int64 numbers of shape `(8,)`, and bytes, the header of a wav file.

        Raises:
            OSError, RuntimeError, ValueError: If the file cannot be read or is refused.
        """
        status = os.stat(path)
        state = status.st_size, status.st_mtime_ns
        if self.known.get(path, (None,))[0] != state:
            self.known[path] = state, *self._examine(path)
        _, numbers, header = self.known[path]
        file_rate, num_frames = numbers[1:3]
        start, length = 0, num_frames
        if self.max_seconds is not None:
            length = min(num_frames, max(1, round(self.max_seconds * file_rate)))
            start = round(offset * (num_frames - length))
        return np.asarray([*numbers, start, length], "int64"), header

    def __call__(self, path, numbers, header):
        """Return the waveform of a file, float32 of shape `(samples,)`, inside a graph.

        Args:
            path: string tensor.
            numbers: int64 tensor, and
            header: string tensor, as `locate` gives them.
        """
        import tensorflow as tf

        samples = self._decode(path, numbers, header)
        file_rate = numbers[1]

        def resampled(samples, file_rate):
            return resample(samples, int(file_rate), self.sample_rate)

        waveform = tf.cond(
            file_rate == self.sample_rate,
            lambda: samples,
            lambda: tf.numpy_function(resampled, [samples, file_rate], tf.float32),
        )
        return tf.ensure_shape(waveform, [None])

    def _decode(self, path, numbers, header):
        """Return the mean of the channels, from `start` on, at the file's own rate."""
        import tensorflow as tf

        index, _, num_frames, channels, data, num_bytes, start, length = tf.unstack(numbers, 8)
        content = tf.io.read_file(path)
        shape = tf.stack([num_frames, channels])

        def decode(subtype, operator, dtype):
            sound = content
            arguments = {"shape": shape}
            if operator in ("decode_wav", "decode_flac"):
                arguments["dtype"] = tf.as_dtype(dtype)
            if operator == "decode_wav":
                sound = tf.strings.join([header, tf.strings.substr(content, data, num_bytes)])
            samples = getattr(self.audio, operator)(sound, **arguments)
            mean = tf.reduce_mean(_as_float(samples, subtype), axis=1)
            # Only now, because slices of two dimensions take five times as long as all the rest.
            return mean[start : start + length]

        decoders = [
            functools.partial(decode, subtype, operator, dtype)
            for (_, subtype), (operator, dtype) in OPERATORS.items()
        ]
        return tf.switch_case(tf.cast(index, tf.int32), decoders)

    def _examine(self, path):
        """Return numbers and header of a file, or raise why it is not for the operators."""
        import tensorflow as tf

        with open_audio(path, fallback=False) as file:
            # WAVEX is a wav file that says more of its channels.
            encoding = file.format.removesuffix("EX"), file.subtype
            if encoding not in OPERATORS:
                raise ValueError(f"is {file.format} with {file.subtype}, {NOT_DECODED}")
            if os.path.getsize(path) > LARGEST_FILE:
                raise ValueError(f"is larger than 2 GiB, {NOT_DECODED}")
            expected = read_samples(file)
            if not len(expected):
                raise ValueError("has no samples")
            if len(expected) != file.frames:
                raise ValueError(
                    f"states {file.frames} samples and has {len(expected)}, {NOT_DECODED}"
                )
            is_wav = encoding[0] == "WAV"
            header, num_bytes = _wav_header(file) if is_wav else (b"", 0)
            data = _find_data(path) if is_wav else 0
        index = list(OPERATORS).index(encoding)
        numbers = [index, file.samplerate, file.frames, file.channels, data, num_bytes]
        whole = tf.constant([*numbers, 0, len(expected)], tf.int64)
        try:
            samples = self._decode(tf.constant(os.fsencode(path)), whole, header).numpy()
        except tf.errors.OpError as error:
            reason = error.message.rsplit("}} ", 1)[-1].rsplit(" [Op:", 1)[0]
            raise ValueError(f"tensorflow-io does not decode it: {reason}") from None
        if not np.abs(samples - expected).max() <= LARGEST_DIFFERENCE:
            raise ValueError("tensorflow-io decodes it to other samples than soundfile")
        return numbers, header


def _as_float(samples, subtype):
    """Return samples of any type as float32 in [-1, 1]."""
    import tensorflow as tf

    if subtype == "PCM_32":
        samples = tf.bitcast(samples, tf.int32)
    if samples.dtype.is_floating:
        return samples
    if samples.dtype.is_unsigned:
        return (tf.cast(samples, tf.float32) - 128) * (1 / 128)
    return tf.cast(samples, tf.float32) * (1 / (samples.dtype.max + 1))


def _wav_header(file):
    """Return the plainest header of a wav file's samples, and their number of bytes.

    The operator knows few of the chunks that a wav file may have, and trusts what they state.
    """
    tag, width = WAV_TAGS.get(file.subtype, 1), WAV_BYTES[file.subtype]
    rate, align = file.samplerate, file.channels * width
    num_bytes = file.frames * align
    sound = (16, tag, file.channels, rate, rate * align, align, 8 * width)
    fields = (b"RIFF", 36 + num_bytes, b"WAVE", b"fmt ", *sound, b"data", num_bytes)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *fields), num_bytes


def _find_data(path):
    """Return where the samples of a wav file begin."""
    with open(path, "rb") as file:
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return file.tell()
            # Chunks begin at even places.
            file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("has no chunk of samples that tensorflow-io could decode")


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
