"""Published networks that `features.py` compares with: each makes one vector of a waveform.

A waveform has 16 kHz; its vector is the mean over windows. What is shorter than a window gets
zeros at its end. Two networks are looked for in a folder:

- `yamnet/yamnet_spectra_in.tflite`, from `models` in github.com/google-coral/coralmicro;
- `openwakeword/melspectrogram.tflite` and `openwakeword/embedding_model.tflite`, from the package
  wyoming-openwakeword on PyPI;

and the third is the package resemblyzer.
"""

import hashlib
import math
import warnings

import numpy as np
import tensorflow as tf

SAMPLE_RATE = 16000


class YAMNet:
    """The 1,024 numbers before the last layer of a network trained on AudioSet's labels.

    Windows are 96 frames of 64 log-mels, every 48. The front end makes of `yamnet_test_audio.bin`
    beside the network `yamnet_test_spectra.bin`, to 2e-5: that waveform had a peak of 1.

    Reference: https://github.com/tensorflow/models/tree/master/research/audioset/yamnet.
    """

    files = ["yamnet/yamnet_spectra_in.tflite"]
    embedding = "tower0/network/layer28/reduce_mean"
    num_frames, hop = 96, 48
    window, shift = 400, 160

    def __init__(self, network):
        self.network = interpreter(network, experimental_preserve_all_tensors=True)
        details = {tensor["name"]: tensor for tensor in self.network.get_tensor_details()}
        self.embedding = details[self.embedding]
        self.mel_filters = tf.signal.linear_to_mel_weight_matrix(
            64, 257, SAMPLE_RATE, 125.0, 7500.0
        )

    def __call__(self, waveform):
        log_mels = self.log_mels(waveform)
        starts = range(0, len(log_mels) - self.num_frames + 1, self.hop)
        return np.mean(
            [self.embed(log_mels[start:][: self.num_frames]) for start in starts], axis=0
        )

    def log_mels(self, waveform):
        """Return log-mels of as many frames as fill all windows."""
        frames = 1 + math.ceil((len(waveform) - self.window) / self.shift)
        windows = 1 + max(0, math.ceil((frames - self.num_frames) / self.hop))
        frames = self.num_frames + (windows - 1) * self.hop
        waveform = padded(waveform, self.window + (frames - 1) * self.shift)
        waveform = waveform / max(np.abs(waveform).max(), 1e-6)
        magnitudes = tf.abs(tf.signal.stft(waveform, self.window, self.shift, 512))
        return tf.math.log(magnitudes @ self.mel_filters + 0.01).numpy()

    def embed(self, log_mels):
        invoke(self.network, log_mels[None])
        scale, zero = self.embedding["quantization"]
        return scale * (self.network.get_tensor(self.embedding["index"]).ravel() - float(zero))


class OpenWakeWord:
    """The 96 numbers of Google's speech embedding, as openWakeWord uses it.

    Windows are 76 frames of 32 mels, every 8.

    Reference: https://github.com/dscripka/openWakeWord; Lin et al., "Training Keyword Spotters
    with Limited and Synthesized Speech Data", arXiv 2002.01322.
    """

    files = ["openwakeword/melspectrogram.tflite", "openwakeword/embedding_model.tflite"]
    num_frames, hop = 76, 8

    def __init__(self, mels, embedding):
        self.mels, self.embedding = interpreter(mels), interpreter(embedding)

    def __call__(self, waveform):
        # A frame is 10 ms, and the network keeps three fewer than begin.
        waveform = padded(waveform, (self.num_frames + 3) * SAMPLE_RATE // 100)
        mels = np.squeeze(invoke(self.mels, 32767 * waveform[None]), (0, 1)) / 10 + 2
        windows = np.lib.stride_tricks.sliding_window_view(mels, self.num_frames, axis=0)
        windows = windows[:: self.hop].transpose(0, 2, 1)[..., None]
        return invoke(self.embedding, windows).reshape(len(windows), -1).mean(axis=0)


class Resemblyzer:
    """The 256 numbers of a network that tells speakers apart, as the package computes them.

    It makes waveforms as loud as each other and leaves long silences out; what it takes for
    silence as a whole is embedded as it is.

    Reference: https://github.com/resemble-ai/Resemblyzer; Wan et al., "Generalized End-to-End
    Loss for Speaker Verification", arXiv 1710.10467.
    """

    files = []

    def __init__(self):
        import resemblyzer

        self.package, self.network = resemblyzer, resemblyzer.VoiceEncoder("cpu", verbose=False)

    def __call__(self, waveform):
        speech = self.package.preprocess_wav(waveform)
        return self.network.embed_utterance(speech if len(speech) else waveform)


PEERS = {"YAMNet": YAMNet, "openWakeWord": OpenWakeWord, "Resemblyzer": Resemblyzer}


def find_peer(name, folder):
    """Return a peer and what tells its files from others; `ImportError` or `OSError` without."""
    files = [folder / file for file in PEERS[name].files]
    contents = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return PEERS[name](*map(str, files)), contents.hexdigest()


def interpreter(path, **kwargs):
    with warnings.catch_warnings():
        # TensorFlow says that another package will have it one day.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        # That is where YAMNet's embedding is.
        warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`")
        return tf.lite.Interpreter(path, num_threads=1, **kwargs)


def invoke(network, values):
    """Return the output of a network for a float array, whose batch and length it takes on."""
    given, wanted = network.get_input_details()[0], network.get_output_details()[0]
    if tuple(given["shape"]) != values.shape:
        network.resize_tensor_input(given["index"], values.shape)
    network.allocate_tensors()
    network.set_tensor(given["index"], np.ascontiguousarray(values, "float32"))
    network.invoke()
    return network.get_tensor(wanted["index"])


def padded(waveform, length):
    return np.pad(waveform, (0, max(0, length - len(waveform))))
