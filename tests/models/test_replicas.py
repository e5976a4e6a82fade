"""Pre-training on two replicas equals pre-training on one with the whole batch.

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
import keras
import numpy as np
from keras import ops
from keras_asit.models import ASiTBackbone, ASiTPretrainer
from keras_asit.optimizers import AdamW


def build():
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    pretrainer = ASiTPretrainer(
        backbone,
        num_class_prototypes=6,
        num_patch_prototypes=4,
        projection_hidden_dim=8,
        projection_bottleneck_dim=4,
        reconstruction_hidden_dim=8,
        reconstruction_bottleneck_dim=4,
    )
    optimizer, jit_compile = AdamW(1e-3, weight_decay=0.04), keras.config.backend() == "jax"
    pretrainer.compile(optimizer, teacher_momentum=0.9, jit_compile=jit_compile)
    return pretrainer


clean = np.random.default_rng(1).normal(size=(8, 2, 32, 32)).astype("float32")
clean[::2] += 1  # The replicas' means differ.
mask = np.zeros_like(clean)
mask[..., 5:20, 3:30] = 1
mask[:2, :, 20:] = 1  # One replica has more pixels masked than the other.
batches = {"clean": clean, "corrupted": clean * (1 - mask), "mask": mask}


def train(pretrainer):
    logs = pretrainer.fit(batches, batch_size=4, shuffle=False, verbose=0).history
    centers = pretrainer.global_distillation.center, pretrainer.local_distillation.center
    values = [*centers, *pretrainer.teacher.variables, pretrainer.step]
    return logs, [np.array(ops.convert_to_numpy(value)) for value in values]


def assert_equal(one, two):
    (logs, values), (other_logs, other_values) = one, two
    for name in logs:
        np.testing.assert_allclose(logs[name], other_logs[name], atol=1e-5, err_msg=name)
    for value, other in zip(values, other_values):
        np.testing.assert_allclose(value, other, atol=1e-5)
    assert np.any(values[0] != 0) and values[-1] == 2
"""

TENSORFLOW = """
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
one = train(build())
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    pretrainer = build()
assert_equal(one, train(pretrainer))
print("equal")
"""

JAX = """
import jax

assert len(jax.devices()) == 2
one = train(build())
keras.distribution.set_distribution(keras.distribution.DataParallel())
pretrainer = build()
assert len(pretrainer.step.value.sharding.device_set) == 2
assert_equal(one, train(pretrainer))
print("equal")
"""

# A rank has half of the batch.
TORCH = """
import sys
from torch import distributed
from keras_asit.losses import DistillationLoss, MaskedReconstructionLoss

rank, file = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
logits = np.random.default_rng(1).normal(size=(8, 2, 5)).astype("float32")
loss = DistillationLoss(5, center_momentum=0.75)
loss(logits[4 * rank :][:4], logits[:4], temperature=0.04, training=True)
expected = 0.25 * logits.mean(axis=(0, 1))
np.testing.assert_allclose(ops.convert_to_numpy(loss.center), expected, atol=1e-6)

loss = MaskedReconstructionLoss()
part = slice(4 * rank, 4 * rank + 4)
mean = loss(clean[part], 2 * clean[part], sample_weight=mask[part])
distributed.all_reduce(mean)
expected = np.abs(clean)[mask == 1].mean()
np.testing.assert_allclose(ops.convert_to_numpy(mean) / 2, expected, rtol=1e-5)
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
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="MirroredStrategy")
def test_two_replicas_of_tensorflow_equal_one():
    assert_equal_in(start(TENSORFLOW))


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "jax", reason="keras.distribution")
def test_two_devices_of_jax_equal_one():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    assert_equal_in(start(JAX, XLA_FLAGS=flags))


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "torch", reason="torch.distributed")
def test_two_processes_of_pytorch_share_center_and_masked_mean(tmp_path):
    processes = [start(TORCH, str(rank), str(tmp_path / "rendezvous")) for rank in range(2)]
    for process in processes:
        assert_equal_in(process)
