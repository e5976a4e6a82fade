"""Pre-training on several replicas equals pre-training on one with the whole batch.

Devices are fixed when a backend starts, so each test runs in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

TESTS = Path(__file__).parents[1]

COMMON = """
import sys
import keras
import numpy as np
from keras import ops
from keras_asit.models import ASiTBackbone, ASiTPretrainer
from keras_asit.optimizers import AdamW

STEPS, CLIPS = 20, 8
clean = np.random.default_rng(1).normal(size=(STEPS, CLIPS, 2, 32, 32)).astype("float32")
clean[:, : CLIPS // 2] += 1  # The means of replicas differ, and so do their masks.
settings = {}
if "parts" in sys.argv:
    settings["accumulate"] = 2
if "skipped" in sys.argv:
    settings["skip_non_finite"] = True
    clean[5, -1] = np.nan  # The clips of one replica only.
skipped = int("skipped" in sys.argv)


def build():
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone(
        (32, 32), num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, drop_path_rate=0.1
    )
    pretrainer = ASiTPretrainer(
        backbone,
        num_class_prototypes=6,
        num_patch_prototypes=4,
        projection_hidden_dim=8,
        projection_bottleneck_dim=4,
        reconstruction_hidden_dim=8,
        reconstruction_bottleneck_dim=4,
    )
    # Keras does without XLA under a strategy of TensorFlow, and it rounds in another way. Biases of
    # keys have gradients of 0 but for rounding, which an epsilon next to 0 would blow up.
    jit_compile = keras.config.backend() == "jax"
    optimizer = AdamW(1e-3, weight_decay=0.04, epsilon=1e-6)
    pretrainer.compile(optimizer, teacher_momentum=0.9, jit_compile=jit_compile, **settings)
    return pretrainer


def train(pretrainer, clean=clean):
    batches = {"clean": np.concatenate(clean)}
    size = len(clean[0])
    logs = pretrainer.fit(batches, batch_size=size, shuffle=False, verbose=0).history
    centers = pretrainer.global_distillation.center, pretrainer.local_distillation.center
    values = [*centers, *pretrainer.teacher.variables, *pretrainer.student.variables]
    values = [np.array(ops.convert_to_numpy(value)) for value in [*values, pretrainer.step]]
    return logs, values, pretrainer.embedding_moment.effective_rank()


def assert_equal(one, two):
    (logs, values, rank), (other_logs, other_values, other_rank) = one, two
    for name in logs:
        np.testing.assert_allclose(logs[name], other_logs[name], atol=1e-5, err_msg=name)
    for value, other in zip(values, other_values):
        np.testing.assert_allclose(value, other, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(rank, other_rank, rtol=1e-4)
    assert np.any(values[0] != 0) and values[-1] == STEPS - skipped
    assert logs["non_finite_steps"] == [skipped]
"""

TENSORFLOW = """
import tensorflow as tf

number = int(sys.argv[1])
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * number)
one = train(build())
strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(number)])
assert strategy.num_replicas_in_sync == number
with strategy.scope():
    pretrainer = build()
assert_equal(one, train(pretrainer))
print("equal")
"""

JAX = """
import jax

assert len(jax.devices()) == int(sys.argv[1])
one = train(build())
distribution = keras.distribution.DataParallel()
if "divided" in sys.argv:
    mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
    layout_map = ASiTBackbone.get_layout_map(mesh)
    distribution = keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")
keras.distribution.set_distribution(distribution)
pretrainer = build()
assert len(pretrainer.step.value.sharding.device_set) == int(sys.argv[1])
kernel = pretrainer.backbone.transformer_blocks[0].query_key_value.kernel
assert kernel.value.sharding.is_fully_replicated == ("divided" not in sys.argv)
assert_equal(one, train(pretrainer))
print("equal")
"""

# A process has its share of each batch.
TORCH = """
from torch import distributed

one = train(build())
number, rank, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=number)
share = CLIPS // number
assert_equal(one, train(build(), clean[:, rank * share :][:, :share]))
print("equal")
"""


def start(script, *arguments, **environment):
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", COMMON + script, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_equal_in(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.strip().endswith("equal")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "how"), [(2, []), (4, []), (2, ["parts", "skipped"])])
def test_replicas_equal_one(number, how, tmp_path):
    backend, count = keras.config.backend(), str(number)
    if backend == "tensorflow":
        processes = [start(TENSORFLOW, count, *how)]
    elif backend == "jax":
        processes = [start(JAX, count, *how, XLA_FLAGS=jax_devices(number))]
    else:
        meeting = str(tmp_path / "meeting")
        processes = [start(TORCH, count, str(rank), meeting, *how) for rank in range(number)]
    for process in processes:
        assert_equal_in(process)


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "jax", reason="keras.distribution.ModelParallel")
def test_weights_divided_among_devices_train_as_whole_ones():
    assert_equal_in(start(JAX, "4", "divided", XLA_FLAGS=jax_devices(4)))


def jax_devices(number):
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={number}"
