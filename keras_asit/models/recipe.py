"""The paper's recipe: what `ASiTPretrainer.compile` is given, or takes by itself."""

import contextlib

from keras.optimizers.schedules import PolynomialDecay

from keras_asit._arguments import check_integers, check_number
from keras_asit.models.pretraining_batch import check_names
from keras_asit.optimizers import AdamW
from keras_asit.schedules import WarmupCosine

# Those of the first step.
TEACHER_MOMENTUM = 0.996
TEACHER_TEMPERATURE = 0.04


def pretraining_recipe(
    steps_per_epoch: int,
    batch_size: int,
    epochs: int = 100,
    *,
    learning_rate: float = 5e-4,
    final_learning_rate: float = 1e-6,
    warmup_epochs: int = 10,
    weight_decay: float = 0.04,
    final_weight_decay: float = 0.4,
    clipnorm: float | None = 3.0,
    teacher_momentum: float = TEACHER_MOMENTUM,
    teacher_temperature: float = TEACHER_TEMPERATURE,
    final_teacher_temperature: float = 0.07,
    temperature_epochs: int = 30,
) -> dict:
    """Return the paper's optimizer and schedules, as arguments of `ASiTPretrainer.compile`.

    Args:
        steps_per_epoch: int. Batches of an epoch.
        batch_size: int. Clips of a batch, on all devices together.
        epochs: int. Length of the training. Defaults to `100`.
        learning_rate: float. For batches of 256 clips; in proportion to the batch. It rises
            linearly from 0, then falls along a cosine. Defaults to `5e-4`.
        final_learning_rate: float. Whatever the batch. Defaults to `1e-6`.
        warmup_epochs: int. At most all steps but one. Defaults to `10`.
        weight_decay, final_weight_decay: floats. Ends of a cosine. Default to `0.04` and `0.4`.
        clipnorm: float. Largest norm of the gradient of a variable. Defaults to `3.0`.
        teacher_momentum: float. At the start of its cosine to 1. Defaults to `0.996`.
        teacher_temperature, final_teacher_temperature: floats. Ends of a ramp of
            `temperature_epochs`, which default to `30`. Default to `0.04` and `0.07`.

    Returns:
        A dict of `optimizer`, `teacher_momentum` and `teacher_temperature`.

    Example:
    ```python
    recipe = keras_asit.models.pretraining_recipe(steps_per_epoch=1000, batch_size=64)
    recipe["teacher_momentum"](50_000)  # 0.998
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section IV.
    """
    check_number("learning_rate", learning_rate, 0)
    check_number("final_learning_rate", final_learning_rate, 0)
    check_number("weight_decay", weight_decay, 0)
    check_number("final_weight_decay", final_weight_decay, 0)
    check_number("teacher_momentum", teacher_momentum, 0, 1)
    check_number("teacher_temperature", teacher_temperature, 1e-6)
    check_number("final_teacher_temperature", final_teacher_temperature, 1e-6)
    check_integers(0, warmup_epochs=warmup_epochs)
    sizes = {"steps_per_epoch": steps_per_epoch, "batch_size": batch_size, "epochs": epochs}
    check_integers(1, temperature_epochs=temperature_epochs, **sizes)
    steps = epochs * steps_per_epoch
    rate = WarmupCosine(
        learning_rate * batch_size / 256,
        final_learning_rate,
        steps,
        warmup_steps=min(warmup_epochs * steps_per_epoch, steps - 1),
    )
    decay = WarmupCosine(weight_decay, final_weight_decay, steps)
    return {
        "optimizer": AdamW(rate, weight_decay=decay, clipnorm=clipnorm),
        "teacher_momentum": WarmupCosine(teacher_momentum, 1.0, steps),
        "teacher_temperature": PolynomialDecay(
            teacher_temperature, temperature_epochs * steps_per_epoch, final_teacher_temperature
        ),
    }


def training_sizes(x, steps_per_epoch, batch_size):
    """Return both, from the data of `fit` where `None`; raise `ValueError` if they do not tell."""
    batch = getattr(x, "element_spec", x)
    if batch is not x or isinstance(x, dict) or hasattr(x, "shape"):
        check_names(batch)
    if isinstance(x, dict):  # Of arrays, which Keras cuts into batches.
        batch_size = batch_size or 32
        steps_per_epoch = steps_per_epoch or -(-len(x["clean"]) // batch_size)
    else:
        own = batch["clean"].shape[0] if batch is not x else getattr(x, "batch_size", None)
        batch_size = batch_size or own
        with contextlib.suppress(TypeError):  # Nobody knows how many files can be read.
            steps_per_epoch = steps_per_epoch or len(x)
    if not (steps_per_epoch and batch_size):
        raise ValueError(
            "The paper's schedules need the batches of an epoch and the clips of a batch, which "
            "these data do not tell. Give them, `compile(steps_per_epoch=..., batch_size=...)`, "
            "or give `compile` an optimizer, teacher_momentum and teacher_temperature. Received: "
            f"steps_per_epoch={steps_per_epoch}, batch_size={batch_size}"
        )
    return steps_per_epoch, batch_size
