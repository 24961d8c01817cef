"""What computes: a model file made ready, batches of scaled patches in, blendable values out."""

import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import ConfigError
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile, default_model

Batch = npt.NDArray[np.float32]
EngineName = Literal["torch", "onnxruntime"]
"""`torch` computes trained models (.safetensors), `onnxruntime` exported ones (.onnx)."""
Precision = Literal["fp32", "bf16", "fp16"]
"""In what torch computes convolutions."""
# What the drivers of GPUs that torch can use leave in a system: NVIDIA, AMD, either under Windows' own Linux, Windows.
GPU_SIGNS = ("/dev/nvidia0", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")


class Means(NamedTuple):
    """How a network is computed, where there is a choice."""

    precision: Precision = "fp32"
    compiled: bool = False
    """Whether torch compiles the network first, which takes a minute and needs a C++ compiler."""


PLAIN = Means()


class Engine(Protocol):
    """A network that is ready to compute, whatever computes it."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def device_type(self) -> str:
        """`cpu`, or what else computes."""

    @property
    def parameters(self) -> dict[str, str | int]:
        """What decides the bytes of a result beside the model and the windows, as JSON values."""

    def predict(self, batch: Batch) -> Batch:
        """The values to blend for patches in [-1, 1], shape (n, bands, rows, cols), sides multiples of the stride.

        Class probabilities for the palette head, bands in [-1, 1] for the raster head; shape (n, channels, rows, cols).
        """


def installed(name: EngineName) -> bool:
    """Whether an engine is there, found without loading it, which takes seconds."""
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def package_model(name: EngineName | None, device: str = "auto", means: Means = PLAIN) -> Path:
    """The model in the package for an engine.

    Without a name it is for ONNX Runtime where a CPU is going to compute, which takes a third of the memory and begins
    sooner, and for torch where only that can do what is asked for, or there seems to be a GPU.
    """
    if name is None:
        wanted = means != PLAIN or device not in ("auto", "cpu") or (device == "auto" and _has_gpu())
        name = "torch" if installed("torch") and (wanted or not installed("onnxruntime")) else "onnxruntime"
    return default_model(exported=name == "onnxruntime")


def _has_gpu() -> bool:
    """Whether there seems to be a GPU, found without loading torch, which takes seconds."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return apple or any(Path(sign).exists() for sign in GPU_SIGNS)


def check_engine(model: ModelFile, name: EngineName | None, window: int | None, means: Means = PLAIN) -> None:
    """Nothing, if an engine is installed that computes this file in this way with windows of this side.

    Without them it is the file's own engine, in its plain way, with windows of any side.

    Raises:
        ConfigError: it is another engine, or not installed, or cannot do it, or the model is for other windows.
    """
    own = _own(model)
    called = f"the model {model.manifest.name!r}"
    if name not in (None, own):
        form, other = ("trained", "export it with `geopix2pix model export`")
        if own == "onnxruntime":
            form, other = "exported", "give the trained file (.safetensors)"
        raise ConfigError(f"--engine {name}: {called} is {form}, which {own} computes; {other}, or leave out --engine")
    if own != "torch" and means != PLAIN:
        option = f"--precision {means.precision}" if means.precision != "fp32" else "--compile"
        raise ConfigError(
            f"{option}: {called} is exported, and onnxruntime computes it as it is; give the trained one (.safetensors)"
        )
    if not installed(own):
        remedy = "pip install onnxruntime"
        if own == "torch":
            remedy = (
                "give an exported model (.onnx), or install geopix2pix with all that it needs (pip install geopix2pix)"
            )
        raise ConfigError(f"{called} needs {own}, which is not installed here; {remedy}")
    if window is not None and model.window not in (None, window):
        raise ConfigError(
            f"--window {window}: {called} was exported for windows of {model.window} alone; leave out --window, or "
            "export it for all"
        )


def _own(model: ModelFile) -> EngineName:
    return "torch" if model.graph is None else "onnxruntime"


def load_engine(model: ModelFile, *, device: str = "auto", threads: int | None = None, means: Means = PLAIN) -> Engine:
    """A model made ready by the engine that computes files of its kind.

    Raises:
        ConfigError: the engine cannot be loaded, or has no such device.
        ModelFileError: the model's tensors or graph do not fit what its manifest describes.
    """
    own = _own(model)
    try:  # each takes its time to load, and only one is needed
        if own == "torch":
            from geopix2pix.torch_engine import TorchEngine

            return TorchEngine(model, device, threads, means.precision, means.compiled)
        from geopix2pix.onnx_engine import OnnxEngine

        return OnnxEngine(model, device, threads)
    except ImportError as error:
        raise ConfigError(
            f"the model {model.manifest.name!r} is computed by {own}, which cannot be loaded here ({error}); "
            "`geopix2pix doctor` tells what is missing"
        ) from error
