"""Gradients of a batch in parts, one after another, so that they take the memory of one."""

import keras
from keras import ops


def mean_gradients(model, loss_of, parts, averaged):
    """Return the gradients of the mean of the losses of parts, which have equal shapes.

    Args:
        model: a `keras.Model`, whose variables may change from part to part.
        loss_of: function of a part to its loss, as the optimizer scales it.
        parts: dict of tensors, of which the first axis is the number of the part.
        averaged: list of variables that each part finds as they were before the first one; they are
            left at the mean of what the parts make of them.
    """
    gradients_of = {"jax": _of_jax, "tensorflow": _of_tensorflow, "torch": _of_torch}
    before = [ops.copy(variable.value) for variable in averaged]
    gradients, means = gradients_of[keras.config.backend()](model, loss_of, parts, averaged, before)
    for variable, mean in zip(averaged, means):
        variable.assign(mean)
    return gradients


def _of_jax(model, loss_of, parts, averaged, before):
    import jax

    variables = [*model.non_trainable_variables, *model.metrics_variables]
    others = [(v, v.value) for v in model.optimizer.variables]

    def loss_and_values(weights, values, part):
        state = [*zip(model.trainable_variables, weights), *zip(variables, values), *others]
        with keras.StatelessScope([*state, *zip(averaged, before)]) as scope:
            loss = loss_of(part)
        return loss, [scope.get_current_value(v) for v in variables]

    def add(carry, part):
        sums, values = carry
        gradients, values = jax.grad(loss_and_values, has_aux=True)(weights, values, part)
        left = [values[index] for index in places]
        return ([*map(ops.add, sums, [*gradients, *left])], values), None

    weights = [v.value for v in model.trainable_variables]
    places = [[v is other for other in variables].index(True) for v in averaged]
    start = [ops.zeros_like(value) for value in (*weights, *before)], [v.value for v in variables]
    (sums, values), _ = jax.lax.scan(add, start, parts)
    for variable, value in zip(variables, values):
        variable.assign(value)
    return _divide(sums, parts, len(weights))


def _of_tensorflow(model, loss_of, parts, averaged, before):
    import tensorflow as tf

    def add(index, *sums):
        for variable, value in zip(averaged, before):
            variable.assign(value)
        with tf.GradientTape() as tape:
            loss = loss_of({name: part[index] for name, part in parts.items()})
        gradients = tape.gradient(loss, weights)
        left = [tf.convert_to_tensor(v) for v in averaged]
        return index + 1, *map(tf.add, sums, [*gradients, *left])

    weights, number = model.trainable_variables, _number(parts)
    state = [0, *[tf.zeros(v.shape, v.dtype) for v in (*weights, *averaged)]]
    if not tf.distribute.has_strategy():
        state = tf.while_loop(lambda index, *_: index < number, add, state, parallel_iterations=1)
    else:
        # Replicas, one as well, cannot wait for each other inside of a loop of the graph.
        for _ in range(number):
            with tf.control_dependencies([tf.group(*map(tf.convert_to_tensor, state))]):
                state = add(*state)
    _, *sums = state
    return _divide(sums, parts, len(weights))


def _of_torch(model, loss_of, parts, averaged, before):
    model.zero_grad()
    left = [ops.zeros_like(value) for value in before]
    for index in range(_number(parts)):
        for variable, value in zip(averaged, before):
            variable.assign(value)
        # PyTorch adds to the gradients that it finds.
        loss_of({name: part[index] for name, part in parts.items()}).backward()
        left = [total + v.value for total, v in zip(left, averaged)]
    gradients = [v.value.grad for v in model.trainable_variables]
    return _divide([*gradients, *left], parts, len(gradients))


def _number(parts):
    return next(iter(parts.values())).shape[0]


def _divide(sums, parts, num_gradients):
    means = [total / _number(parts) for total in sums]
    return means[:num_gradients], means[num_gradients:]


def split(batch, number):
    """Return a batch in parts, the clips of each spread over the whole, as devices have shares."""
    clips = next(iter(batch.values())).shape[0]
    if clips is not None and clips % number:
        raise ValueError(
            f"A batch, or a replica's share of it, is computed in {number} parts of the same size, "
            f"so its number of clips must be a multiple of that. Received: {clips} clips"
        )

    def parts_of(x):
        x = ops.reshape(x, (-1, number, *x.shape[1:]))
        return ops.transpose(x, (1, 0, *range(2, len(x.shape))))

    return {name: parts_of(x) for name, x in batch.items()}
