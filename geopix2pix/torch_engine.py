"""The engine of torch: a trained model on a CPU or a GPU."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from geopix2pix import device, networks
from geopix2pix.errors import ConfigError, DeviceMemoryError, ModelFileError
from geopix2pix.fusing import fused
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile
from geopix2pix.patches import joined

Batch = npt.NDArray[np.float32]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""In what convolutions can be computed; what follows them is computed in float32."""


class Answering(nn.Module):
    """A generator that answers with values to blend: class probabilities, or bands in [-1, 1]."""

    def __init__(self, generator: networks.Generator, manifest: Manifest) -> None:
        super().__init__()
        self.generator = generator
        self.palette = manifest.generator.head == "palette"
        self.temperature = manifest.temperature or 1.0

    def forward(self, scene: Tensor) -> Tensor:
        output: Tensor = self.generator(scene)
        if output.dtype != torch.float32:  # probabilities of 8 bits of precision would be steps
            output = output.float()
        if not self.palette:
            return output
        output = output / self.temperature  # what follows is softmax, whose operator ONNX Runtime computes slowly
        shares = (output - output.amax(dim=1, keepdim=True)).exp()
        return shares / shares.sum(dim=1, keepdim=True)


class TorchEngine:
    """The network of a model file on a device.

    Raises:
        ModelFileError: the weights do not fit the network that the manifest describes.
        ConfigError: the device is not available, or the network cannot be built.
    """

    network: nn.Module
    """What answers, in evaluation mode; norms are part of its convolutions where that computes the same."""

    def __init__(
        self,
        model: ModelFile,
        device_name: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        self.manifest = model.manifest
        self._device = device.select(device_name)
        self._dtype = self._dtype_of(precision)
        self._compiled = compiled
        if threads is not None:
            torch.set_num_threads(threads)
        if self.device_type == "cpu":
            device.keep_memory()
        self.network = fused(answering(model), _example(model.manifest)).to(self._device)
        if self.device_type == "cpu":  # oneDNN computes pixel by pixel sooner than channel by channel (docs/speed.md)
            self.network = self.network.to(memory_format=torch.channels_last)
        self._answer = torch.compile(self.network, dynamic=True) if compiled else self.network
        if compiled:
            self._try()

    def _dtype_of(self, precision: str) -> torch.dtype:
        if precision == "fp16" and self.device_type == "cpu":
            raise ConfigError("--precision fp16: CPUs compute it slower than fp32; give fp32, or bf16, or a GPU")
        return DTYPES[precision]

    def _try(self) -> None:
        side = 2 * self.manifest.total_stride
        try:
            self.predict(np.zeros((1, self.manifest.generator.in_bands, side, side), np.float32))
        except DeviceMemoryError:
            raise
        except Exception as error:  # a compiler is missing or fails, each in its own way
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"--compile: torch cannot compile the network here ({reason}); leave it out") from error

    @property
    def device_type(self) -> str:
        return self._device.type

    @property
    def parameters(self) -> dict[str, str | int]:
        """What decides the bytes of a result beside the model and the windows, as JSON values."""
        parameters: dict[str, str | int] = {
            "engine": f"torch {torch.__version__}",
            "device": self.device_type,
            "precision": str(self._dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        }
        return parameters | ({"compiled": "yes"} if self._compiled else {})

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Batch:
        """The values to blend for patches in [-1, 1], shape (n, bands, rows, cols), sides multiples of the stride.

        Class probabilities for the palette head, bands in [-1, 1] for the raster head; shape (n, channels, rows, cols).

        Raises:
            DeviceMemoryError: the device has too little memory for the batch.
        """
        # On a CPU the bits of a result depend on the size of the batch that it was computed in.
        size = 1 if self.device_type == "cpu" else len(batch)
        with device.enough_memory("give a smaller --batch or --window, or --device cpu"):
            values = [self._predict(patches) for patches in torch.split(torch.from_numpy(batch), size)]
        return joined(values)

    def _predict(self, patches: Tensor) -> Batch:
        if self.device_type == "cuda":  # from pinned memory the GPU fetches it by itself
            patches = patches.pin_memory()
        patches = patches.to(self._device, non_blocking=True)
        lower = torch.autocast(self.device_type, self._dtype, enabled=self._dtype != torch.float32)
        # By itself cuDNN computes in TF32, with 10 bits of precision, and chooses algorithms by their speed.
        with lower, torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            values: Batch = self._answer(patches).cpu().numpy()
        return values


def answering(model: ModelFile) -> Answering:
    """The network of a model file on the CPU, in evaluation mode, its parameters those of the file.

    Raises:
        ModelFileError: the weights do not fit the network that the manifest describes.
        ConfigError: the network cannot be built.
    """
    generator = networks.generator(model.manifest.generator)
    weights = {name: torch.from_numpy(np.array(array)) for name, array in model.weights.items()}
    _check(weights, networks.weights(generator), model)
    generator.load_state_dict(weights, strict=False)  # files are without the batch counters, which nothing reads
    return Answering(generator, model.manifest).to(torch.float32).eval()


def _example(manifest: Manifest) -> Tensor:
    """Noise in the place of a scene, with sides of two strides."""
    shape = (1, manifest.generator.in_bands, 2 * manifest.total_stride, 2 * manifest.total_stride)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _check(weights: dict[str, Tensor], expected: dict[str, Tensor], model: ModelFile) -> None:
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or extra:
        raise ModelFileError(
            f"model {model.manifest.name!r}: its tensors do not belong to the network that it describes "
            f"({len(missing)} missing, such as {missing[:1]}; {len(extra)} unknown, such as {extra[:1]}); "
            "the file was not written by geopix2pix, or by another version of it: train or export it again"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise ModelFileError(
                f"model {model.manifest.name!r}: tensor {name!r} has shape {tuple(tensor.shape)}, the network that the "
                f"file describes needs {tuple(expected[name].shape)}; train or export it again"
            )
