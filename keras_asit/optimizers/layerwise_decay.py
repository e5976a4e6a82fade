"""Learning rates that fall with the distance from the output."""

import keras

from keras_asit.arguments import check_number
from keras_asit.schedules import Scaled


def layerwise_decay(optimizer, backbone, decay=0.75):
    """Return an optimizer that changes the layers of a backbone the less, the deeper they lie.

    The last transformer block has the optimizer's learning rate times `decay`, the one before
    it times `decay` squared, and so on down to the patch embedding. Everything else, the head
    above all, has the optimizer's own. What of the backbone is to be frozen must be so already.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, not yet used. Its learning rate may be a
            schedule.
        backbone: the `ASiTBackbone` of the model that is fine-tuned.
        decay: float in [0, 1]. Defaults to `0.75`.

    Returns:
        A `keras.optimizers.MultiOptimizer`.

    Example:

    ```python
    classifier = keras_asit.models.ASiTAudioClassifier.from_preset("asit_tiny_16k", num_classes=2)
    optimizer = keras_asit.optimizers.AdamW(1e-4)
    classifier.compile(keras_asit.optimizers.layerwise_decay(optimizer, classifier.backbone))
    ```

    Reference: Clark et al., "ELECTRA", arXiv 2003.10555, section 3.1; Bao et al., "BEiT", arXiv
    2106.08254, appendix H.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            f"`optimizer` must be a keras.optimizers.Optimizer. Received: {optimizer!r}"
        )
    check_number("decay", decay, 0, 1)
    layers = [backbone.patch_embedding, *backbone.transformer_blocks]
    distances = range(len(layers), 0, -1)
    optimizers = keras.optimizers.OptimizerMap(optimizer)
    for layer, distance in zip(layers, distances):
        # Keras would never build an optimizer that has no weights, and fail to average them.
        if layer.trainable_variables:
            optimizers[rf"(.*/)?{layer.name}/.*"] = _scaled(optimizer, decay**distance, layer.name)
    return keras.optimizers.MultiOptimizer(optimizers)


def _scaled(optimizer, factor, name):
    config = optimizer.get_config()
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        rate = Scaled(keras.optimizers.schedules.deserialize(rate), factor)
    else:
        rate *= factor
    name = f"{optimizer.name}_{name}"
    return type(optimizer).from_config({**config, "learning_rate": rate, "name": name})
