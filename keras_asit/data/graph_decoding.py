"""Audio files decoded inside a TensorFlow graph, by tensorflow-io."""

import functools
import importlib
import os
import struct
import warnings

import numpy as np

from keras_asit._numpy_function import numpy_function
from keras_asit.data.decoding import find_stretch, open_audio, read_samples, resample

# Container and encoding, as soundfile names them, to operator of tensorflow-io and type asked for.
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
    ("OGG", "VORBIS"): ("decode_vorbis", None),
    ("MP3", "MPEG_LAYER_III"): ("decode_mp3", None),
}
WAV_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
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
    """

    def __init__(self, sample_rate, max_seconds=None):
        self.audio = load_tensorflow_io()
        self.sample_rate = sample_rate
        self.max_seconds = max_seconds
        self.examine = functools.cache(self._examine)

    def locate(self, path, offset=0.0):
        """Return what a graph needs to decode a file: 8 numbers, int64, and a wav file's header."""
        status = os.stat(path)
        numbers, header = self.examine(path, status.st_size, status.st_mtime_ns)
        file_rate, num_frames = numbers[1:3]
        start, length = find_stretch(num_frames, file_rate, self.max_seconds, offset)
        return np.asarray([*numbers, start, length or num_frames], "int64"), header

    def __call__(self, path, numbers, header):
        """Return the waveform of a file, inside a graph, from tensors of what `locate` returns."""
        import tensorflow as tf

        samples = self._decode(path, numbers, header)
        rates = numbers[1], self.sample_rate
        return tf.ensure_shape(numpy_function(resample, [samples, *rates], tf.float32), [None])

    def _decode(self, path, numbers, header):
        """Return the mean of the channels, from `start` on, at the file's own rate."""
        import tensorflow as tf

        index, _, num_frames, channels, first, num_bytes, start, length = tf.unstack(numbers, 8)
        content = tf.strings.substr(tf.io.read_file(path), first, num_bytes)
        sound = tf.strings.join([header, content])

        def decode(subtype, operator, dtype):
            arguments = {"shape": tf.stack([num_frames, channels])}
            if dtype is not None:
                arguments["dtype"] = tf.as_dtype(dtype)
            samples = getattr(self.audio, operator)(sound, **arguments)
            mean = tf.reduce_mean(_as_float(samples, subtype), axis=1)
            # Only now, because slices of two dimensions take five times as long as all the rest.
            return mean[start : start + length]

        decoders = [
            functools.partial(decode, subtype, *operator)
            for (_, subtype), operator in OPERATORS.items()
        ]
        return tf.switch_case(tf.cast(index, tf.int32), decoders)

    def _examine(self, path, size, _):
        """Return numbers and header of a file, or raise why it is not for the operators."""
        import tensorflow as tf

        with open_audio(path, fallback=False) as file:
            # WAVEX is a wav file that says more of its channels.
            encoding = file.format.removesuffix("EX"), file.subtype
            if encoding not in OPERATORS:
                raise ValueError(f"is {file.format} with {file.subtype}, {NOT_DECODED}")
            if size > LARGEST_FILE:
                raise ValueError(f"is larger than 2 GiB, {NOT_DECODED}")
            expected = read_samples(file)
            if not len(expected):
                raise ValueError("has no samples")
            if len(expected) != file.frames:
                stated = f"states {file.frames} samples and has {len(expected)}"
                raise ValueError(f"{stated}, {NOT_DECODED}")
            header, first, num_bytes = b"", 0, size
            if encoding[0] == "WAV":
                header, first, num_bytes = _find_samples(path, file)
            index = list(OPERATORS).index(encoding)
            numbers = [index, file.samplerate, file.frames, file.channels, first, num_bytes]
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


def _find_samples(path, file):
    """Return the plainest header for a wav file's samples, where they begin, and how many bytes.

    The operator knows few of the chunks that a wav file may have, and trusts what they state.
    """
    tag, width = 3 if file.subtype == "FLOAT" else 1, WAV_BYTES[file.subtype]
    rate, align = file.samplerate, file.channels * width
    num_bytes = file.frames * align
    sound = (16, tag, file.channels, rate, rate * align, align, 8 * width)
    fields = (b"RIFF", 36 + num_bytes, b"WAVE", b"fmt ", *sound, b"data", num_bytes)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", *fields)
    with open(path, "rb") as chunks:
        chunks.seek(12)
        while len(chunk := chunks.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return header, chunks.tell(), num_bytes
            # Chunks begin at even places.
            chunks.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("has no chunk of samples that tensorflow-io could decode")


def load_tensorflow_io():
    """Return the module `tensorflow_io.audio`, or raise why its native operators do not load."""
    import tensorflow as tf

    found = "no tensorflow-io"
    with warnings.catch_warnings():
        # Beside another TensorFlow the import warns, at length, of what is reported here.
        warnings.simplefilter("ignore")
        try:
            audio = importlib.import_module("tensorflow_io").audio
            found = "a tensorflow-io whose operators do not load beside it"
            # The library is loaded when an operator is first used.
            audio.encode_wav(tf.zeros([1, 1], tf.int16), 16000)
        except (ImportError, NotImplementedError, OSError, tf.errors.OpError) as error:
            raise ImportError(
                'decoder="tensorflow_io" needs the native operators of tensorflow-io 0.37 beside '
                f"TensorFlow 2.17. Found: TensorFlow {tf.__version__} and {found} ({error}). In an "
                "environment of its own, pip install 'keras-asit[tfio]', or choose 'soundfile'."
            ) from error
    return audio
