"""The paper's recipe, and what `compile` and `fit` of a pretrainer make of it."""

import keras
import pytest
import tensorflow as tf
from small_pretrainer import EAGERLY, batch_of, build, compiled

from keras_asit.callbacks import Checkpoints
from keras_asit.models import pretraining_recipe
from keras_asit.optimizers import AdamW


def unknown_number_of_batches():
    dataset = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)})
    return dataset.batch(4, drop_remainder=True).filter(lambda _: True)


def test_the_recipe_is_that_of_the_paper():
    recipe = pretraining_recipe(steps_per_epoch=10, batch_size=512, epochs=100)
    optimizer = recipe["optimizer"]
    assert isinstance(optimizer, AdamW) and optimizer.clipnorm == 3
    config = optimizer.get_config()
    schedules = {
        "learning_rate": keras.optimizers.schedules.deserialize(config["learning_rate"]),
        "weight_decay": keras.optimizers.schedules.deserialize(config["weight_decay"]),
        **{name: recipe[name] for name in ("teacher_momentum", "teacher_temperature")},
    }
    expected = {  # At the first step, after 10 epochs, after 30, after 55 and at the end.
        "learning_rate": [0, 1e-3, None, (1e-3 + 1e-6) / 2, 1e-6],
        "weight_decay": [0.04, None, None, None, 0.4],
        "teacher_momentum": [0.996, None, None, None, 1],
        "teacher_temperature": [0.04, 0.05, 0.07, 0.07, 0.07],
    }
    for name, values in expected.items():
        for step, value in zip((0, 100, 300, 550, 1000), values):
            if value is not None:
                assert float(schedules[name](step)) == pytest.approx(value, rel=1e-4, abs=1e-9)
    assert float(schedules["weight_decay"](500)) == pytest.approx(0.22)
    assert float(schedules["teacher_momentum"](500)) == pytest.approx(0.998)


def test_compiled_without_arguments_fit_follows_the_recipe_and_a_second_fit_goes_on():
    pretrainer = build()
    pretrainer.compile(run_eagerly=EAGERLY)
    assert pretrainer.optimizer is None
    data = {"clean": batch_of(8)}
    pretrainer.fit(data, batch_size=4, epochs=2, verbose=0)
    recipe = pretraining_recipe(steps_per_epoch=2, batch_size=4, epochs=2)
    rate = keras.optimizers.schedules.deserialize(recipe["optimizer"].get_config()["learning_rate"])
    for steps in (4, 6):
        assert int(pretrainer.step) == steps
        values = pretrainer.schedule_values()
        assert values["learning_rate"] == pytest.approx(float(rate(steps)))
        assert values["weight_decay"] == pytest.approx(0.4)
        assert values["teacher_momentum"] == pytest.approx(1)
        expected = recipe["teacher_temperature"](steps)
        assert values["teacher_temperature"] == pytest.approx(float(expected))
        pretrainer.fit(data, batch_size=4, epochs=1, verbose=0)


def test_what_compile_is_given_wins_over_the_recipe():
    pretrainer = build()
    pretrainer.compile("adamw", teacher_momentum=0.5)
    optimizer = pretrainer.optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW) and not isinstance(optimizer, AdamW)
    pretrainer.use_recipe({"clean": batch_of(8)}, epochs=3, batch_size=4)
    assert pretrainer.optimizer is optimizer
    assert pretrainer.teacher_momentum == 0.5
    assert pretrainer.teacher_temperature.decay_steps == 30 * 2


def test_the_recipe_takes_sizes_from_the_data_or_from_compile():
    def sizes(data, *, compiled_with=(), **kwargs):
        pretrainer = build()
        pretrainer.compile(**dict(compiled_with))
        pretrainer.use_recipe(data, epochs=10, **kwargs)
        rate = pretrainer.optimizer.get_config()["learning_rate"]["config"]
        return rate["total_steps"] // 10, rate["start"] * 256 / 5e-4

    clean = {"clean": batch_of(10)}
    known = tf.data.Dataset.from_tensor_slices(clean).batch(4, drop_remainder=True)
    assert sizes(clean) == (1, 32)
    assert sizes(clean, batch_size=4) == (3, 4)
    assert sizes(known) == (2, 4)
    assert sizes(known.repeat(), steps_per_epoch=5) == (5, 4)
    unknown = unknown_number_of_batches()
    assert sizes(unknown, compiled_with={"steps_per_epoch": 7}) == (7, 4)
    known = tf.data.Dataset.from_tensor_slices(clean).batch(4)
    assert sizes(known, compiled_with={"batch_size": 4}) == (3, 4)


def test_where_the_recipe_lacks_sizes_it_says_so():
    pretrainer = build()
    pretrainer.compile()
    message = r"compile\(steps_per_epoch=..., batch_size=...\).*steps_per_epoch=None, batch_size=4"
    with pytest.raises(ValueError, match=message):
        pretrainer.fit(unknown_number_of_batches())
    with pytest.raises(ValueError, match="call `fit`, or compile with"):
        pretrainer.train_on_batch({"clean": batch_of()})
    with pytest.raises(ValueError, match="must call `compile"):
        build().fit({"clean": batch_of()})
    with pytest.raises(ValueError, match="`steps_per_epoch` must be a positive integer"):
        pretrainer.compile(steps_per_epoch=0)


def test_a_recipe_that_waits_for_fit_is_saved_as_such(tmp_path):
    pretrainer = build()
    pretrainer.compile(teacher_momentum=0.5, steps_per_epoch=7)
    pretrainer.save(tmp_path / "pretrainer.keras")
    loaded = keras.saving.load_model(tmp_path / "pretrainer.keras")
    assert loaded.optimizer is None
    loaded.use_recipe(unknown_number_of_batches(), epochs=2)
    assert loaded.optimizer.get_config()["learning_rate"]["config"]["total_steps"] == 14
    assert loaded.teacher_momentum == 0.5


def test_a_training_with_checkpoints_follows_the_recipe_too(tmp_path):
    pretrainer = build()
    pretrainer.compile(run_eagerly=EAGERLY)
    dataset = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)}).batch(4, True)
    Checkpoints(tmp_path).fit(pretrainer, lambda start: dataset, epochs=1, verbose=0)
    assert int(pretrainer.step) == pretrainer.teacher_momentum.total_steps == 2


def test_a_fit_that_took_no_step_decides_nothing():
    pretrainer = build()
    pretrainer.compile(run_eagerly=EAGERLY)
    with pytest.raises(ValueError, match="call `fit`, or compile with"):
        pretrainer.schedule_values()
    clean = batch_of(8)
    wrong_data = [{"spectrograms": clean}, clean]
    if keras.config.backend() != "jax":  # Its trainer loses all values at an error in a step.
        wrong_data.append({"clean": clean[:, :1]})
    for wrong in wrong_data:
        with pytest.raises(ValueError, match="A batch"):
            pretrainer.fit(wrong, batch_size=4, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="A batch must be a dict"):
        pretrainer.fit(tf.data.Dataset.from_tensor_slices((clean,)).batch(4), verbose=0)
    pretrainer.fit({"clean": clean}, batch_size=4, epochs=2, verbose=0)
    assert pretrainer.teacher_momentum.total_steps == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": -1}, "`learning_rate` must be a number of at least 0"),
        ({"teacher_momentum": 2}, "`teacher_momentum` must be a number between 0 and 1"),
        ({"temperature_epochs": 0}, "`temperature_epochs` must be a positive integer"),
        ({"warmup_epochs": -1}, "`warmup_epochs` must be an integer of at least 0"),
    ],
)
def test_bad_arguments_of_the_recipe_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        pretraining_recipe(10, 32, 2, **arguments)


def test_a_split_is_refused_only_where_the_recipe_counts_batches():
    clean = {"clean": batch_of(8)}
    split = {"validation_split": 0.5, "batch_size": 4, "verbose": 0}
    pretrainer = build()
    pretrainer.compile(run_eagerly=EAGERLY)
    with pytest.raises(ValueError, match="give `validation_data` instead"):
        pretrainer.fit(clean, **split)
    history = compiled().fit(clean, **split).history
    assert "val_loss" in history
