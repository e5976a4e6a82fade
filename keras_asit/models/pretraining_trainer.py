"""How `ASiTPretrainer` is trained: by default with the paper's recipe; the step of each backend."""

import contextlib
import types

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_asit._arguments import check_integers, check_number
from keras_asit.models.accumulation import mean_gradients, split
from keras_asit.models.model import ASiTModel
from keras_asit.models.recipe import (
    TEACHER_MOMENTUM,
    TEACHER_TEMPERATURE,
    pretraining_recipe,
    training_sizes,
)
from keras_asit.models.steps import for_workers, when_ready
from keras_asit.replicas import mean_over_replicas, num_replicas

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer
RECIPE = ("optimizer", "teacher_momentum", "teacher_temperature")


class PretrainingTrainer(ASiTModel):
    """Keras's own optimization step, followed by the momentum update of the teacher.

    A base of `ASiTPretrainer`, whose attributes it uses, before `keras.Model`.
    """

    teacher_momentum = TEACHER_MOMENTUM
    teacher_temperature = TEACHER_TEMPERATURE
    skip_non_finite = False
    accumulate = 1

    def compile(  # type: ignore[override]
        self,
        optimizer: str | keras.Optimizer | None = None,
        *,
        teacher_momentum: float | LearningRateSchedule | None = None,
        teacher_temperature: float | LearningRateSchedule | None = None,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        skip_non_finite: bool = False,
        accumulate: int = 1,
        **kwargs,
    ) -> None:
        """Configure training, by default with the paper's recipe.

        What is not given is that of `pretraining_recipe`, whose schedules `fit` makes for its
        `epochs`. Until then `teacher_momentum` and `teacher_temperature` are those of its start.

        Args:
            optimizer: a Keras optimizer, or the name of one. Where it accumulates gradients, the
                teacher moves when the student is updated.
            teacher_momentum: float in [0, 1], or a `LearningRateSchedule` of the step. The share
                of itself that the teacher keeps in a step.
            teacher_temperature: positive float, or a schedule.
            steps_per_epoch, batch_size: ints. Batches of an epoch and clips of a batch, for the
                recipe where the data of `fit` do not tell, as those of audio files.
            skip_non_finite: bool. Whether to undo a step whose loss or gradient is not finite
                (the log `non_finite_steps` counts them either way). It needs memory for another
                copy of the student and the optimizer. Defaults to `False`.
            accumulate: int. In how many parts, one after another, a batch is computed before the
                student is updated once, as by the whole: less memory for nearly the same time. It
                must divide the clips of a batch, or a replica's share of them. Defaults to `1`.
            **kwargs: Other arguments of `keras.Model.compile`, such as `jit_compile`; no losses.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                "The losses of pre-training are fixed; weigh them with the arguments "
                f"`*_loss_weight` of ASiTPretrainer. Received: loss={kwargs['loss']!r}"
            )
        recipe = {"teacher_momentum": teacher_momentum, "teacher_temperature": teacher_temperature}
        for (name, value), low, high in zip(recipe.items(), (0, 1e-6), (1, None)):
            if value is not None:
                first = float(value(0)) if isinstance(value, LearningRateSchedule) else value
                check_number(name, first, low, high)
        sizes = {"steps_per_epoch": steps_per_epoch, "batch_size": batch_size}
        check_integers(1, or_none=True, **sizes)
        check_integers(1, accumulate=accumulate)
        optimizer = keras.optimizers.get(optimizer)
        own = {"optimizer": optimizer, **recipe, **sizes}
        own |= {"skip_non_finite": skip_non_finite, "accumulate": accumulate}
        # No dict: Keras would save what is in it.
        self._given, self._planned = types.MappingProxyType({**own, **kwargs}), None
        # Keras would look at the precision of the pretrainer, which is float32.
        is_half = optimizer is not None and self.backbone.compute_dtype == "float16"
        is_scaled = isinstance(optimizer, LossScaleOptimizer)
        if (is_half or is_scaled) and num_replicas() > 1 and (skip_non_finite or accumulate > 1):
            # Keras looks at one replica's gradients for what the scale is too high for.
            raise ValueError(
                "Under a strategy of TensorFlow, float16 trains without `skip_non_finite` and "
                f"`accumulate`. Received: skip_non_finite={skip_non_finite}, "
                f"accumulate={accumulate}. Use bfloat16 or float32."
            )
        if is_half and kwargs.get("auto_scale_loss", True) and not is_scaled:
            optimizer = LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        super().compile(optimizer=optimizer, **kwargs)
        if optimizer is not None:
            # With its variables made here, TensorFlow need not trace the first step twice.
            optimizer.build(self.trainable_variables)
        for name, value in recipe.items():
            setattr(self, name, getattr(type(self), name) if value is None else value)
        self.skip_non_finite = bool(skip_non_finite)
        self.accumulate = accumulate

    def make_train_function(self, force=False):
        self._check_optimizer()
        return super().make_train_function(force)

    def _check_optimizer(self):
        if self.optimizer is None:
            raise ValueError(
                "The paper's schedules need to know how long the training is: call `fit`, or "
                "compile with `**keras_asit.models.pretraining_recipe(...)` or an optimizer."
            )

    def fit(
        self,
        x=None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        **kwargs,
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does; a further call goes on in the schedules of the first."""
        sizes = {"steps_per_epoch": steps_per_epoch, "batch_size": batch_size}
        waits = self.compiled and any(self._given[name] is None for name in RECIPE)
        if waits and kwargs.get("validation_split"):
            raise ValueError(
                "`validation_split` would shorten the epochs that the recipe counts; give "
                "`validation_data` instead."
            )
        self.use_recipe(x, epochs, **sizes)
        return super().fit(x, epochs=epochs, **sizes, **kwargs)  # type: ignore[misc]

    def use_recipe(self, x, epochs: int, *, steps_per_epoch=None, batch_size=None) -> None:
        """Give what `compile` was not given the recipe's values, as `fit` does, before it."""
        if not self.compiled:
            return
        given, planned = self._planned or (self._given, None)
        missing = [name for name in RECIPE if given[name] is None]
        # A `fit` that took no step, for its data were wrong, decides nothing.
        if not missing or (planned and int(ops.convert_to_numpy(self.step))):
            return
        steps_per_epoch = steps_per_epoch or given["steps_per_epoch"]
        sizes = training_sizes(x, steps_per_epoch, batch_size or given["batch_size"])
        if planned == (*sizes, epochs):
            return
        # Of TensorFlow, under which the optimizer must be made.
        strategy = getattr(self, "distribute_strategy", None)
        with strategy.scope() if strategy else contextlib.nullcontext():
            recipe = pretraining_recipe(*sizes, epochs)
            self.compile(**{**given, **{name: recipe[name] for name in missing}})
        self._planned = given, (*sizes, epochs)

    def schedule_values(self) -> dict:
        """Return the next step's learning rate, weight decay, teacher momentum and temperature."""
        self._check_optimizer()
        # Under mixed_float16, one that scales the loss is around it.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        values = {
            "learning_rate": optimizer.learning_rate,
            "weight_decay": optimizer.weight_decay or 0.0,
            "teacher_momentum": value_at(self.teacher_momentum, self.step),
            "teacher_temperature": value_at(self.teacher_temperature, self.step),
        }
        return {name: float(ops.convert_to_numpy(value)) for name, value in values.items()}

    def get_compile_config(self):
        config = super().get_compile_config()
        if config:
            names = (*RECIPE[1:], "steps_per_epoch", "batch_size", "skip_non_finite", "accumulate")
            config |= {n: keras.saving.serialize_keras_object(self._given[n]) for n in names}
        return config

    def train_step(self, *args):
        """Run Keras's own step; undo it or count it; move the teacher towards the student."""
        if keras.config.backend() == "jax":
            return self._jax_train_step(*args)
        with when_ready(args):
            before = self._values_before_step()
            if self.accumulate == 1:
                super().train_step(*args)
            else:
                self._update_by_parts(*args)
            return for_workers(self._finish_step(before))

    def _jax_train_step(self, state, data):
        variables = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        with keras.StatelessScope(state_mapping=_pairs(variables, state)) as scope:
            before = self._values_before_step()
            if self.accumulate > 1:
                self._update_by_parts(data)
        state = _values(variables, scope)
        if self.accumulate == 1:
            _, state = super().train_step(state, data)
        with keras.StatelessScope(state_mapping=_pairs(variables, state)) as scope:
            logs = self._finish_step(before)
        return logs, _values(variables, scope)

    def _update_by_parts(self, data):
        """Update the student once, by the mean gradients of the parts of a batch."""
        batch, *_ = keras.utils.unpack_x_y_sample_weight(data)
        batch = self.corrupt(batch)
        mean_mask = mean_over_replicas(ops.mean(batch["mask"]))

        def loss_of(part):
            outputs = {**self(part, training=True), "mean_mask": mean_mask}
            loss = self.compute_loss(part, y_pred=outputs, training=True)
            self._loss_tracker.update_state(
                loss * num_replicas(), sample_weight=ops.shape(part["clean"])[0]
            )
            return self.optimizer.scale_loss(loss)

        gradients = mean_gradients(self, loss_of, split(batch, self.accumulate), self._centers)
        self._apply(gradients)

    def _apply(self, gradients):
        """Update the student by gradients of the scaled loss."""
        weights, state = self.trainable_variables, self.optimizer.variables
        if keras.config.backend() != "jax":
            self.optimizer.apply(gradients, weights)
            return
        # In a step that JAX compiles, an optimizer that scales the loss must be stateless.
        after = self.optimizer.stateless_apply(
            [v.value for v in state], gradients, [v.value for v in weights]
        )
        for variable, value in _pairs((weights, state), after):
            variable.assign(value)

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
        is_finite = ops.cast(ops.all(ops.isfinite(ops.stack(sums))), "float32")
        # Replicas must go on alike.
        is_finite = mean_over_replicas(is_finite) == 1
        for variable, value in kept:
            variable.assign(ops.where(is_finite, variable.value, value))
        failures = 1 - ops.cast(is_finite, "float32")
        self.non_finite_steps.update_state(failures / num_replicas())
        self._update_teacher(self.optimizer.iterations > updates)
        return self.get_metrics_result()

    def _spoiled_by_a_step(self):
        """Return the variables that a loss or a gradient that is not finite would spoil."""
        return [*self.trainable_variables, *self._centers, *self.metrics_variables]

    @property
    def _centers(self):
        return [self.global_distillation.center, self.local_distillation.center]

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
    return value(step) if isinstance(value, LearningRateSchedule) else value


def _pairs(variables, values):
    return [pair for lists in zip(variables, values) for pair in zip(*lists)]


def _values(variables, scope):
    return tuple([scope.get_current_value(variable) for variable in v] for v in variables)
