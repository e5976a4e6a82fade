"""The training step of `ASiTPretrainer`, for each backend."""

import contextlib

import keras
from keras import ops

from keras_asit.losses import num_replicas

Schedule = keras.optimizers.schedules.LearningRateSchedule


class PretrainingStep:
    """Keras's own optimization step, followed by the momentum update of the teacher.

    A base of `ASiTPretrainer`, whose attributes it uses, before `keras.Model`.
    """

    def train_step(self, *args):
        """Run Keras's own step; undo it or count it; move the teacher towards the student."""
        if keras.config.backend() == "jax":
            return self._jax_train_step(*args)
        with _when_ready(args):
            before = self._values_before_step()
            super().train_step(*args)
            return self._finish_step(before)

    def _jax_train_step(self, state, data):
        variables = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        with keras.StatelessScope(state_mapping=_pairs(variables, state)):
            before = self._values_before_step()
        _, state = super().train_step(state, data)
        with keras.StatelessScope(state_mapping=_pairs(variables, state)) as scope:
            logs = self._finish_step(before)
        state = tuple([scope.get_current_value(variable) for variable in v] for v in variables)
        return logs, state

    def _values_before_step(self):
        """Return the number of updates so far, and what `_finish_step` may have to restore."""
        kept = []
        if self.skip_non_finite:
            kept = [*self._spoiled_by_a_step(), *self.optimizer.variables]
        return ops.copy(self.optimizer.iterations), [(v, ops.copy(v.value)) for v in kept]

    def _finish_step(self, before):
        updates, kept = before
        # A sum reads each variable once; it is finite only if they all are. The optimizer's
        # state, twice as much to read, is spoiled together with the weights.
        sums = [ops.sum(ops.cast(v.value, "float32")) for v in self._spoiled_by_a_step()]
        is_finite = ops.all(ops.isfinite(ops.stack(sums)))
        for variable, value in kept:
            variable.assign(ops.where(is_finite, variable.value, value))
        failures = 1 - ops.cast(is_finite, "float32")
        self.non_finite_steps.update_state(failures / num_replicas())
        self._update_teacher(self.optimizer.iterations > updates)
        return self.get_metrics_result()

    def _spoiled_by_a_step(self):
        """Return the variables that a loss or a gradient that is not finite would spoil."""
        centers = [self.global_distillation.center, self.local_distillation.center]
        return [*self.trainable_variables, *centers, *self.metrics_variables]

    def _update_teacher(self, is_updated):
        """Move the teacher, and count a step, if the optimizer has updated the student.

        It has not while it accumulates gradients, or where it found the loss scaled too high.
        """
        momentum = ops.where(is_updated, value_at(self.teacher_momentum, self.step), 1.0)
        for average, weight in zip(self.teacher.weights, self.student.weights):
            keep = ops.cast(momentum, average.dtype)
            average.assign(average * keep + ops.stop_gradient(weight.value) * (1 - keep))
        self.step.assign(self.step + ops.cast(is_updated, self.step.dtype))


def value_at(value, step):
    """Return a schedule's value at a step, or a number itself."""
    return value(step) if isinstance(value, Schedule) else value


def _when_ready(data):
    """Return a context in which TensorFlow runs nothing before it has `data`.

    At the end of the data its graph asks for one more batch, in vain; but whatever needs no
    batch (counters, random generators, the count of a mean) would run once more all the same.
    """
    if keras.config.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    tensors = [tensor for tensor in tf.nest.flatten(data) if tensor is not None]
    return tf.control_dependencies(tensors)


def _pairs(variables, values):
    return [pair for lists in zip(variables, values) for pair in zip(*lists)]
