"""Reading PyTorch files without running what is in them."""

import argparse
import pickle
import zipfile
from pathlib import Path


def import_torch():
    """Return the module `torch`, or raise an `ImportError` that names the extra."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "PyTorch files are read and written by PyTorch. Install it: "
            'pip install "keras-asit[torch]"'
        ) from error
    return torch


def read_pytorch_file(path):
    """Return what `torch.save` wrote, tensors on the CPU; only data is accepted, no code.

    Besides tensors and plain containers, an `argparse.Namespace` is allowed, which the original
    code keeps its command line in.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, no PyTorch file, or holds anything else.
    """
    torch = import_torch()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    # Mapped into memory, only the weights that are used are read; old files cannot be mapped.
    mmap = zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is no PyTorch file of plain weights, and nothing in it was run. It is of "
            "another kind, or holds objects other than tensors, containers and an "
            f"argparse.Namespace. PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged or cut short, or no PyTorch file; obtain it anew. PyTorch says: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
