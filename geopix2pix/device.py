"""The device that computes."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from geopix2pix.errors import ConfigError, DeviceMemoryError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
# What says that memory was too small where torch raises a plain RuntimeError: the allocators of CPU and MPS, cuDNN, and
# loading processes.
MEMORY_SIGNS = ("DefaultCPUAllocator", "out of memory", "not enough memory", "ALLOC_FAILED", "out of shared memory")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


def select(name: str) -> torch.device:
    """The device called `name`; `auto` is the first of cuda, mps and cpu that this computer offers.

    Raises:
        ConfigError: the name is unknown, or this computer and this build of torch have no such device.
    """
    if name not in get_args(DeviceName):
        raise ConfigError(f"device: {name!r} is none of {', '.join(get_args(DeviceName))}")
    available = _available()
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise ConfigError(
            f"device: {name!r} was asked for, but torch {torch.__version__} finds only {', '.join(available)} here; "
            "choose one of these or `auto`, or install a torch built for the device"
        )
    return torch.device(name)


def describe() -> dict[str, str]:
    """What computes here, as names and values for people."""
    facts = {
        "torch": torch.__version__,
        "devices": ", ".join(_available()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        facts["cuda"] = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return facts


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """A context for what may need more memory than there is, on any device.

    Raises:
        DeviceMemoryError: it did; the message ends with `remedy`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not known and not any(sign in str(error) for sign in MEMORY_SIGNS):
            raise
        raise DeviceMemoryError(f"the memory is not enough; {remedy}") from error


def keep_memory() -> None:
    """Let the C library keep what torch gives back on a CPU, for the next window.

    The GNU library hands large blocks back to the system, which clears them page by page when they are needed again:
    half of the time of a window of 1024 pixels (docs/speed.md). Elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # the largest that there is


def _available() -> list[str]:
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [name for name, there in found.items() if there]
