"""What replicas of a model, each on a share of a batch, have to tell each other.

Under TensorFlow they are those of a `tf.distribute.Strategy`, under PyTorch the processes of
`torch.distributed`. Under JAX there is one program over global arrays: whatever it computes is of
the whole batch already.
"""

import contextlib

import keras
from keras import ops


def num_replicas() -> int:
    """Return over how many replicas Keras sums gradients, so that a loss is to be divided by it."""
    if keras.config.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def num_workers(strategy) -> int:
    """Return how many processes a strategy of TensorFlow trains in."""
    resolver = strategy.cluster_resolver
    return max(1, len(resolver.cluster_spec().as_dict().get("worker", []))) if resolver else 1


def num_processes() -> int:
    """Return how many processes of PyTorch train together."""
    distributed = torch_distributed()
    return distributed.get_world_size() if distributed else 1


def sum_over_replicas(value):
    """Return the sum of a tensor over all replicas."""
    context, distributed = _tensorflow_context(), torch_distributed()
    if context:
        import tensorflow as tf

        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
    if distributed:
        value = value.clone()
        distributed.all_reduce(value)
    return value


def mean_over_replicas(value):
    """Return the mean of a tensor over all replicas."""
    context = _tensorflow_context()
    number = context.num_replicas_in_sync if context else num_processes()
    return sum_over_replicas(value) / number if number > 1 else value


def rows_of_replicas(rows):
    """Return the rows of all replicas, in the order of the batch; gradients stop there."""
    context, distributed = _tensorflow_context(), torch_distributed()
    rows = ops.stop_gradient(rows) if context or distributed else rows
    if context:
        return context.all_gather(rows, axis=0)
    if distributed:
        parts = [ops.zeros_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return ops.concatenate(parts, axis=0)
    return rows


def place_of_rows(count):
    """Return how many rows of the batch lie before this replica's `count`, and how many are all."""
    context, distributed = _tensorflow_context(), torch_distributed()
    if not context and not distributed:
        return 0, count
    counts = rows_of_replicas(ops.convert_to_tensor([count], "int32"))
    replica = context.replica_id_in_sync_group if context else distributed.get_rank()
    return ops.sum(counts[:replica]), ops.sum(counts)


def draw_rows(kind: str, shape: tuple, seed_generator: keras.random.SeedGenerator):
    """Return random float32 numbers of a shape whose first axis is that of this replica's rows.

    They are drawn for the rows of all replicas, as one device with the whole batch would. `kind` is
    `"uniform"`, from 0 to 1, or `"normal"`.
    """
    count, *rest = shape
    first, total = place_of_rows(count)
    numbers = _draw(kind, (total, *rest), seed_generator)
    # Without replicas, these are all rows.
    return numbers if total is count else numbers[first : first + count]


def _draw(kind, shape, seed_generator):
    if keras.config.backend() != "tensorflow":
        return getattr(keras.random, kind)(shape, dtype="float32", seed=seed_generator)
    import tensorflow as tf

    # The bits are the same under XLA, which replicas go without; TensorFlow's own numbers are not.
    seed = tf.cast(seed_generator.next(), "int32")
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg="philox")
    uniform = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), "float32") * 2**-24
    # Half a step up, for at 0 a normal number would be infinite.
    return uniform if kind == "uniform" else tf.math.ndtri(uniform + 2**-25)


def predict_batch(model: keras.Model, batch):
    """Return `model.predict_on_batch(batch)`, on whatever devices the model is being trained.

    Each replica predicts all of the batch, whose size need not be a multiple of their number.
    """
    size = len(keras.tree.flatten(batch)[0])
    with _whole_batches():
        outputs = model.predict_on_batch(batch)
    # TensorFlow puts those of all replicas behind one another.
    return keras.tree.map_structure(lambda rows: rows[:size], outputs)


@contextlib.contextmanager
def _whole_batches():
    """Let Keras give each device of JAX the whole batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        yield
        return
    devices = list(distribution.device_mesh.devices.flatten())
    with _WholeBatches(devices=devices, auto_shard_dataset=False).scope():
        yield


class _WholeBatches(keras.distribution.DataParallel):
    def get_data_layout(self, data_shape):
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def _tensorflow_context():
    """Return what the replicas of TensorFlow speak through, or `None` where there are not two."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def torch_distributed():
    """Return `torch.distributed`, or `None` where this process is by itself."""
    if keras.config.backend() != "torch":
        return None
    from torch import distributed

    return distributed if distributed.is_available() and distributed.is_initialized() else None
