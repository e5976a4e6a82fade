"""Training on several devices and in several processes, by the means of each backend."""

import argparse
import atexit
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import lazy_loader
from command_line import integer_from_zero, positive_integer

keras_asit = lazy_loader.load("keras_asit")

# Flags that may differ when a run is continued: they change nothing that is computed.
NOT_SETTINGS = ("devices", "shards", "hosts", "host_index", "num_hosts", "shared")
# After so long without a sign of life, JAX takes a process for dead.
HEARTBEAT_SECONDS = 30


def add_device_flags(parser):
    group = parser.add_argument_group(
        "devices",
        "The batch is divided among all devices; results stay those of one. Without --hosts, "
        "processes find each other by what torchrun, TF_CONFIG or KERAS_DISTRIBUTION_* say.",
    )
    add = group.add_argument
    add(
        "--devices", type=_devices, default=1, help="of each process: a number, or all (default: 1)"
    )
    add(
        "--shards",
        type=positive_integer,
        default=1,
        help="devices that divide a copy of the network among them; JAX only (default: 1)",
    )
    add("--hosts", type=_addresses, help="HOST:PORT,... of all processes; the same for each")
    add("--host-index", type=integer_from_zero, default=0, help="which of --hosts this is, from 0")


def _devices(text):
    if text != "all" and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a number or all, not {text}")
    return text if text == "all" else int(text)


def _addresses(text):
    addresses = text.split(",")
    if not all(re.fullmatch(r".+:\d+", address) for address in addresses):
        raise argparse.ArgumentTypeError(f"must be HOST:PORT,HOST:PORT, and so on, not {text}")
    return addresses


@contextlib.contextmanager
def on_devices(arguments):
    """Train on the devices of the flags; only the first process leaves and says anything.

    Sets `num_hosts` and `host_index` of the arguments, and `shared`, the output folder of all
    processes; `output` of those after the first is a folder that is removed in the end.
    """
    import keras

    if arguments.hosts and arguments.host_index >= len(arguments.hosts):
        raise ValueError(
            f"--host-index must be below the number of --hosts, {len(arguments.hosts)}. Received: "
            f"{arguments.host_index}"
        )
    if arguments.shards > 1 and (keras.config.backend() != "jax" or arguments.hosts):
        raise ValueError("--shards is for one process of JAX: KERAS_BACKEND=jax, without --hosts")
    engine = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[keras.config.backend()]
    arguments.shared = arguments.output
    arguments.num_hosts = 1
    with contextlib.ExitStack() as stack:
        replicas = engine(arguments, stack)
        parts = getattr(arguments, "accumulate", 1)
        if arguments.batch_size % (replicas * parts):
            number = f"{replicas} devices" + (f" times --accumulate {parts}" if parts > 1 else "")
            raise ValueError(
                f"--batch-size must be a multiple of {replicas * parts}, for {number}. "
                f"Received: {arguments.batch_size}"
            )
        if arguments.num_hosts > 1:
            stack.enter_context(_telling_of_others(arguments.num_hosts))
        if arguments.host_index:
            arguments.output = Path(tempfile.mkdtemp(prefix="keras_asit-"))
            stack.callback(shutil.rmtree, arguments.output, ignore_errors=True)
            stack.enter_context(
                contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w")))
            )
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        elif not arguments.output.exists():
            stack.callback(_remove_if_empty, arguments.output)
        yield


def _remove_if_empty(folder):
    """Leave no folder of a run that was refused."""
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _telling_of_others(number):
    """Say of an error between processes what is to be done about it."""
    import tensorflow as tf

    errors = tf.errors
    lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, RuntimeError)
    try:
        yield
    except (*lost, ValueError) as error:
        # JAX has ValueErrors of its runtime, which begin with the name of a status.
        if isinstance(error, ValueError) and not re.match("[A-Z_]+: ", str(error)):
            raise
        # JAX would wait for the others before this process ends, and then abort it.
        atexit.register(os._exit, 1)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConnectionError(
            f"training in {number} processes broke off. If one of them has ended, start all of "
            f"them again: they go on from the last checkpoint. ({reason[:300]})"
        ) from None


def _jax(arguments, stack):
    import jax
    import keras

    if arguments.devices not in (1, "all"):
        # Of a processor, JAX makes as many devices as are asked for.
        jax.config.update("jax_num_cpu_devices", arguments.devices)
    if arguments.hosts or "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
        addresses = arguments.hosts or os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"].split(",")
        number = os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", len(addresses))
        index = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", 0)
        jax.distributed.initialize(
            addresses[0],
            len(addresses) if arguments.hosts else int(number),
            arguments.host_index if arguments.hosts else int(index),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
        stack.push(_shut_down)
    arguments.num_hosts, arguments.host_index = jax.process_count(), jax.process_index()
    chosen = [
        device
        for process in range(arguments.num_hosts)
        for device in _first(arguments.devices, _devices_of(jax.devices(), process))
    ]
    replicas = len(chosen) // arguments.shards
    if len(chosen) % arguments.shards:
        raise ValueError(
            f"--shards must divide the number of devices, {len(chosen)}. Received: "
            f"{arguments.shards}"
        )
    if len(chosen) == 1:
        return 1
    distribution = keras.distribution
    names = [f"{device.platform}:{device.id}" for device in chosen]
    mesh = distribution.DeviceMesh((replicas, arguments.shards), ("batch", "model"), names)
    layout = keras_asit.models.ASiTBackbone.get_layout_map(mesh)
    distribution.set_distribution(
        distribution.ModelParallel(
            layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
        )
    )
    stack.callback(distribution.set_distribution, None)
    return replicas


def _shut_down(error, *_):
    """Part from the other processes, unless an error has done so."""
    if error is None:
        import jax

        jax.distributed.shutdown()


def _devices_of(devices, process):
    return [device for device in devices if device.process_index == process]


def _first(number, devices):
    """Return the first of devices, or all."""
    if number == "all":
        return devices
    if number > len(devices):
        raise ValueError(f"--devices {number}, but there are only {len(devices)}")
    return devices[:number]


def _tensorflow(arguments, stack):
    import tensorflow as tf

    if arguments.hosts:
        task = {"type": "worker", "index": arguments.host_index}
        cluster = {"cluster": {"worker": arguments.hosts}, "task": task}
        os.environ["TF_CONFIG"] = json.dumps(cluster)
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    workers = config.get("cluster", {}).get("worker", [])
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and arguments.devices not in (1, "all"):
        (processor,) = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * arguments.devices
        tf.config.set_logical_device_configuration(processor, devices)
    if len(workers) > 1:
        if len(tf.config.list_physical_devices(kind)) > 1 or arguments.devices not in (1, "all"):
            raise ValueError(
                "with several processes, TensorFlow needs one for each device: start them with "
                "CUDA_VISIBLE_DEVICES set to one each, and without --devices"
            )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        arguments.num_hosts, arguments.host_index = len(workers), config["task"]["index"]
    else:
        devices = _first(arguments.devices, tf.config.list_logical_devices(kind))
        if len(devices) == 1:
            return 1
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    stack.enter_context(strategy.scope())
    return strategy.num_replicas_in_sync


def _torch(arguments, stack):
    import torch
    from torch import distributed

    if not arguments.hosts and "RANK" not in os.environ:
        available = max(1, torch.cuda.device_count())
        number = available if arguments.devices == "all" else arguments.devices
        if number == 1:
            return 1
        # PyTorch has a process a device.
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
        os.execv(sys.executable, [sys.executable, "-m", *launcher, *sys.argv])
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if arguments.hosts:
        distributed.init_process_group(
            backend,
            init_method=f"tcp://{arguments.hosts[0]}",
            rank=arguments.host_index,
            world_size=len(arguments.hosts),
        )
    else:
        distributed.init_process_group(backend)
    stack.callback(distributed.destroy_process_group)
    arguments.num_hosts, arguments.host_index = distributed.get_world_size(), distributed.get_rank()
    return arguments.num_hosts
