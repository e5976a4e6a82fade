"""Time predictions for 10-s clips against AST of the same size and patch grid in `transformers`.

Both classify the same normalized spectrograms, AST under PyTorch as `transformers` runs it and
ASiT under the backend that KERAS_BACKEND chooses. They take turns in one process, and the fastest
turn of each counts. Needs the extra `benchmark`.

    KERAS_BACKEND=jax python recipes/benchmarks/prediction.py --size base --clips 4
"""

import argparse
import time

import keras
import numpy as np
import torch
import transformers

import keras_asit
from keras_asit.models.presets import SIZES

SPECTROGRAM_SHAPE = (998, 128)
NUM_CLASSES = 527


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--clips", type=int, default=4, help="clips in a batch")
    parser.add_argument("--stride", type=int, default=16, help="of patches; AST's own is 10")
    parser.add_argument("--turns", type=int, default=5, help="timed batches of each")
    arguments = parser.parse_args()

    generator = np.random.default_rng(1)
    spectrograms = generator.normal(size=(arguments.clips, *SPECTROGRAM_SHAPE)).astype("float32")
    predictors = {
        f"ASiT, Keras, {keras.config.backend()}": asit_predictor(arguments, spectrograms),
        "AST, transformers, PyTorch": ast_predictor(arguments, spectrograms),
    }
    times = {name: [] for name in predictors}
    # One turn more: the first compiles.
    for _ in range(1 + arguments.turns):
        for name, predict in predictors.items():
            start = time.perf_counter()
            predict()
            times[name].append(time.perf_counter() - start)
    print(f"{arguments.size}, {arguments.clips} clips of 10 s, patches every {arguments.stride}")
    for name, seconds in times.items():
        print(f"  {name:28}{arguments.clips / min(seconds[1:]):8.2f} clips/s")
    ours, theirs = (min(seconds[1:]) for seconds in times.values())
    print(f"  ASiT is {theirs / ours:.2f} times as fast")


def asit_predictor(arguments, spectrograms):
    backbone = keras_asit.models.ASiTBackbone(
        SPECTROGRAM_SHAPE, patch_stride=arguments.stride, **SIZES[arguments.size]
    )
    classifier = keras_asit.models.ASiTAudioClassifier(backbone, NUM_CLASSES)
    print(f"ASiT: {classifier.count_params():,} parameters, {backbone.output_shape[1]} tokens")
    return lambda: classifier.predict_on_batch(spectrograms)


def ast_predictor(arguments, spectrograms):
    size = SIZES[arguments.size]
    frames, mels = SPECTROGRAM_SHAPE
    model = transformers.ASTForAudioClassification(
        transformers.ASTConfig(
            hidden_size=size["hidden_dim"],
            num_hidden_layers=size["num_layers"],
            num_attention_heads=size["num_heads"],
            intermediate_size=size["mlp_dim"],
            frequency_stride=arguments.stride,
            time_stride=arguments.stride,
            max_length=frames,
            num_mel_bins=mels,
            num_labels=NUM_CLASSES,
        )
    ).eval()
    inputs = torch.from_numpy(spectrograms)
    tokens = model.audio_spectrogram_transformer.embeddings.position_embeddings.shape[1]
    print(f"AST:  {model.num_parameters():,} parameters, {tokens} tokens")

    def predict():
        with torch.inference_mode():
            return model(inputs).logits.numpy()

    return predict


if __name__ == "__main__":
    main()
