"""A model for mteb and its audio benchmark, MAEB: one embedding a recording.

    python recipes/harnesses/mteb_model.py PRESET --tasks ESC50 BeijingOpera

Without `--tasks` it runs the categories of the quickstart's recordings, which needs no download.
In Python: `mteb.evaluate(ASiTModel("PRESET"), mteb.get_tasks(modalities=["audio"]))`.

Reference: Muennighoff et al., "MTEB: Massive Text Embedding Benchmark", arXiv 2210.07316;
https://github.com/embeddings-benchmark/mteb.
"""

import argparse
import zlib

import mteb
import numpy as np
import soxr
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb_quickstart import QuickstartAudio

from keras_asit import hear


class ASiTModel(AbsEncoder):
    """What mteb calls an encoder: from recordings to HEAR's scene embeddings.

    Args:
        preset: str. A folder, a built-in name or a handle. Defaults to `""`,
            `keras_asit.hear.DEFAULT_PRESET`.
    """

    def __init__(self, preset: str = ""):
        self.model = hear.load_model(preset)
        # mteb keeps scores by name and revision: one for each network.
        weights = b"".join(array.tobytes() for array in self.model.backbone.get_weights())
        name = "keras_asit/" + (preset or hear.DEFAULT_PRESET).replace("/", "_")
        meta = {
            "name": name,
            "revision": f"{zlib.crc32(weights):08x}",
            "modalities": ["audio"],
            "n_parameters": self.model.backbone.count_params(),
            "embed_dim": self.model.scene_embedding_size,
        }
        self.mteb_model_meta = ModelMeta.create_empty(meta)

    def encode(self, inputs, **kwargs) -> np.ndarray:
        """Return `(recordings, embed_dim)`; `inputs` yields batches of items of mteb's audio."""
        waveforms = (self._waveform(item) for batch in inputs for item in batch["audio"])
        return np.concatenate([hear.get_scene_embeddings(w[None], self.model) for w in waveforms])

    def _waveform(self, item):
        samples = np.asarray(item["array"], "float32")
        samples = samples.reshape(-1, samples.shape[-1]).mean(axis=0)  # Channels come first.
        return soxr.resample(samples, item["sampling_rate"], self.model.sample_rate)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", help="a folder, a built-in name or a handle")
    parser.add_argument("--tasks", nargs="+", help="names (default: the quickstart's categories)")
    arguments = parser.parse_args()
    tasks = mteb.get_tasks(arguments.tasks) if arguments.tasks else [QuickstartAudio()]
    for result in mteb.evaluate(ASiTModel(arguments.preset), tasks).task_results:
        print(f"{result.task_name}: {result.get_score():.3f}")


if __name__ == "__main__":
    main()
