"""The engine of ONNX Runtime: an exported model on the CPU, without torch."""

import os
from functools import cache

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from geopix2pix.errors import ConfigError, DeviceMemoryError, ModelFileError
from geopix2pix.model import ModelFile
from geopix2pix.patches import joined

Batch = npt.NDArray[np.float32]
POOL = 1 << 30
"""Bytes that the pool of memory begins with. They are only taken as they are used; a pool that grows in pieces leaves
gaps between them, which took 10 to 20 % more."""


class OnnxEngine:
    """The graph of an exported model, made ready on the CPU.

    Raises:
        ModelFileError: the file is no exported model, or this ONNX Runtime cannot run its graph.
        ConfigError: another device than the CPU was asked for.
    """

    device_type = "cpu"

    def __init__(self, model: ModelFile, device: str = "auto", threads: int | None = None) -> None:
        if model.graph is None:
            raise ModelFileError(f"model {model.manifest.name!r} has no graph for onnxruntime; export it first")
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"device: {device!r} was asked for, but onnxruntime computes exported models on the CPU alone; use "
                "`auto` or `cpu`, or give the trained model (.safetensors) to torch"
            )
        self.manifest = model.manifest
        self._threads = threads or _cores()
        try:
            self._session = ort.InferenceSession(
                model.graph.data, _options(self._threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes of errors have nothing in common
            raise ModelFileError(
                f"model {model.manifest.name!r}: onnxruntime {ort.__version__} cannot run its graph "
                f"({_line(error)}); upgrade onnxruntime, or export the model again"
            ) from error
        self._source = self._session.get_inputs()[0].name

    @property
    def parameters(self) -> dict[str, str | int]:
        """What decides the bytes of a result beside the model and the windows, as JSON values."""
        return {
            "engine": f"onnxruntime {ort.__version__}",
            "device": self.device_type,
            "precision": "float32",
            "threads": self._threads,
        }

    def predict(self, batch: Batch) -> Batch:
        """The values to blend for patches in [-1, 1], shape (n, bands, rows, cols), sides multiples of the stride.

        Class probabilities for the palette head, bands in [-1, 1] for the raster head; shape (n, channels, rows, cols).

        Raises:
            DeviceMemoryError: the memory is not enough.
            ModelFileError: the graph cannot be computed, or answers with something else.
        """
        # One by one: what a patch becomes must not depend on its company, and batches save no time on a CPU.
        return joined([self._answer(patch[None]) for patch in batch])

    def _answer(self, patch: Batch) -> Batch:
        expected = (1, self.manifest.generator.out_channels, *patch.shape[2:])
        try:
            (values,) = self._session.run(None, {self._source: patch})
        except Exception as error:
            if isinstance(error, MemoryError) or "alloc" in str(error):
                raise DeviceMemoryError("the memory is not enough; give a smaller --window") from error
            raise ModelFileError(
                f"model {self.manifest.name!r}: its graph cannot be computed for a patch of shape {patch.shape} "
                f"({_line(error)}); export the model again"
            ) from error
        if values.shape != expected:
            raise ModelFileError(
                f"model {self.manifest.name!r}: its graph answers with shape {values.shape}, expected {expected}; "
                "export the model again"
            )
        answer: Batch = values
        return answer


def _options(threads: int) -> ort.SessionOptions:
    _share_pool()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Said outright: left to itself, ONNX Runtime binds its threads to cores, which containers forbid.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # our networks are chains: there is nothing to do beside
    options.use_deterministic_compute = True
    # The pool of memory is reused from window to window. Planning one block ahead for all of a window takes more
    # of it, no pool at all takes more time: numbers in docs/export.md.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Idle threads sleep instead of turning round: the next window is read and the last one written meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors come as exceptions; the library never prints
    return options


@cache
def _share_pool() -> None:
    """Give all graphs of this process one pool of memory."""
    pool = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(pool, ort.OrtArenaCfg({"initial_chunk_size_bytes": POOL}))


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
