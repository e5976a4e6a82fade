"""Steps of training and evaluation that wait for their data and for other processes."""

import contextlib

import keras
from keras import ops

from keras_asit.replicas import mean_over_replicas, num_workers, torch_distributed


class Steps:
    """Run no step of TensorFlow's in vain, and none of PyTorch's alone; a base before a model.

    Where `torch.distributed` is initialized, gradients and results of metrics are means over all
    processes.
    """

    def train_step(self, *args):
        with when_ready(args):
            return for_workers(super().train_step(*args))

    def test_step(self, *args):
        with when_ready(args):
            return for_workers(super().test_step(*args))

    def make_train_function(self, force=False):
        self._parallel = None
        if torch_distributed():
            self._parallel = _in_parallel(super().__call__, self.trainable_variables)
        return super().make_train_function(force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Build metrics and losses, under a strategy of TensorFlow.

        Keras, which has no public way to do without, takes a batch from the first pass over the
        data each time, with which a dataset that starts somewhere has lost its start; and several
        workers cannot add up batches that are no single tensor.
        """
        if iterator is not None and self.distribute_strategy.num_replicas_in_sync > 1:
            parts = (self._compile_metrics, self._compile_loss)
            if all(part is None or part.built for part in parts):
                return
            _, _, batches = next(iter(iterator))
            results = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda part: results(part)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def __call__(self, *args, **kwargs):
        parallel = getattr(self, "_parallel", None)
        call = parallel if parallel and kwargs.get("training") else super().__call__
        return call(*args, **kwargs)

    def get_metrics_result(self):
        results = super().get_metrics_result()
        if not torch_distributed() or not results:
            return results
        values = ops.stack([ops.cast(value, "float32") for value in results.values()])
        return dict(zip(results, ops.unstack(mean_over_replicas(values))))


def when_ready(data):
    """Return a context in which TensorFlow runs nothing before it has `data`.

    At the end of the data its graph asks for one more batch, in vain; but what needs no batch
    (counters, random generators) would run once more all the same.
    """
    if keras.config.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    tensors = [tensor for tensor in tf.nest.flatten(data) if tensor is not None]
    return tf.control_dependencies(tensors)


def for_workers(logs):
    """Return logs as rows where TensorFlow's workers share a step: Keras averages over rows."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        if num_workers(tf.distribute.get_strategy()) > 1:
            return {name: value[None] for name, value in logs.items()}
    return logs


def _in_parallel(forward, variables):
    """Return a function like `forward`; PyTorch averages its gradients over all processes."""
    import torch

    class Forward(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = torch.nn.ParameterList([variable.value for variable in variables])

        def forward(self, *args, **kwargs):
            return forward(*args, **kwargs)

    module = torch.nn.parallel.DistributedDataParallel(Forward())
    # Keras would take a module, held by a model, for a layer.
    return lambda *args, **kwargs: module(*args, **kwargs)
