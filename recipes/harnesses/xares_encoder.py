"""An encoder for X-ARES: embeddings over time, 40 ms apart for patches of 16 frames.

    KERAS_ASIT_PRESET=PRESET python -m xares.run recipes/harnesses/xares_encoder.py TASKS

X-ARES calls the encoder's class without arguments: the preset, a folder, a built-in name or a
handle, is that of the environment variable.

Reference: Zhang et al., "X-ARES: A Comprehensive Framework for Assessing Audio Encoder
Performance", arXiv 2505.16369; https://github.com/jimbozhang/xares.
"""

import os
import zlib

import torch

from keras_asit import hear


class ASiTEncoder(torch.nn.Module):
    """What X-ARES calls an encoder: from waveforms to HEAR's timestamp embeddings.

    Args:
        preset: str. Defaults to `None`, what `KERAS_ASIT_PRESET` names, else
            `keras_asit.hear.DEFAULT_PRESET`.
    """

    def __init__(self, preset: str | None = None):
        super().__init__()
        self.model = hear.load_model(preset or os.environ.get("KERAS_ASIT_PRESET", ""))
        self.sampling_rate = self.model.sample_rate
        self.output_dim = self.model.timestamp_embedding_size
        hop = self.model.interval_frames * self.model.converter.filterbank.shift
        self.hop_size_in_ms = 1000 * hop / self.sampling_rate
        # X-ARES keeps embeddings and scores by the name of the class: one for each network.
        weights = b"".join(array.tobytes() for array in self.model.backbone.get_weights())
        self.__class__ = type(f"ASiT{zlib.crc32(weights):08x}Encoder", (ASiTEncoder,), {})

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Return `(batch, frames, output_dim)` of audio of shape `(batch, samples)`."""
        embeddings, _ = hear.get_timestamp_embeddings(torch.atleast_2d(audio), self.model)
        return embeddings
