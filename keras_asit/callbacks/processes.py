"""The processes that train one model together, and what they tell each other between steps."""

import keras
import numpy as np

from keras_asit.replicas import num_workers, rows_of_replicas, torch_distributed


class Processes:
    """Which of the processes that train a model this is; by itself, the first of one.

    Under JAX they are those of `keras.distribution.initialize`, under TensorFlow the workers of the
    strategy that the model was made under, under PyTorch those of `torch.distributed`.

    Args:
        model: `keras.Model`.

    Attributes:
        number: int. How many there are.
        index: int. Which this is; the first, 0, writes what all of them need.
    """

    def __init__(self, model):
        self.number, self.index, self._gather = 1, 0, lambda numbers: numbers[None]
        self._strategy = None
        find = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
        found = find[keras.config.backend()](model)
        if found:
            self.number, self.index, self._gather = found
            self._strategy = getattr(model, "distribute_strategy", None)

    def gather(self, *numbers):
        """Return the integers that each process gave, an array with a row a process.

        All must call it, and none goes on before all have.
        """
        return np.asarray(self._gather(np.array(numbers, "int32")))

    def feed(self, dataset):
        """Return a dataset of this process's shares of batches as Keras's `fit` takes it."""
        if self._strategy is None:
            return dataset
        # TensorFlow would divide the shares once more.
        return self._strategy.distribute_datasets_from_function(lambda _: dataset)


def _jax(model):
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() > 1:
        return jax.process_count(), jax.process_index(), multihost_utils.process_allgather


def _tensorflow(model):
    import tensorflow as tf

    strategy = model.distribute_strategy
    number = num_workers(strategy)
    if number == 1:
        return None

    @tf.function
    def gather(numbers):
        context = tf.distribute.get_replica_context()
        return context.all_gather(numbers[None], axis=0)

    def run(numbers):
        rows = strategy.run(gather, args=(tf.constant(numbers),))
        rows = strategy.experimental_local_results(rows)[0].numpy()
        # Each worker has a replica a device.
        return rows[:: len(rows) // number]

    return number, strategy.cluster_resolver.task_id, run


def _torch(model):
    distributed = torch_distributed()
    if not distributed:
        return None
    import torch

    def gather(numbers):
        # NCCL knows tensors on GPUs only, and Keras's are on its device.
        numbers = torch.from_numpy(numbers).to(model.variables[0].value.device)
        return rows_of_replicas(numbers[None]).cpu()

    return distributed.get_world_size(), distributed.get_rank(), gather
