"""A model file made ready to compute: batches of scaled patches in, blendable values out."""

import numpy as np
import numpy.typing as npt
import torch

from geopix2pix import device, networks
from geopix2pix.errors import ModelFileError
from geopix2pix.model import ModelFile

Batch = npt.NDArray[np.float32]


class Engine:
    """The network of a model file on a device.

    Raises:
        ModelFileError: the weights do not fit the network that the manifest describes.
        ConfigError: the device is not available, or the network cannot be built.
    """

    def __init__(self, model: ModelFile, device_name: str = "auto", threads: int | None = None) -> None:
        self.manifest = model.manifest
        self.device = device.select(device_name)
        if threads is not None:
            torch.set_num_threads(threads)
        generator = networks.generator(model.manifest.generator)
        weights = {name: torch.from_numpy(np.array(array)) for name, array in model.weights.items()}
        _check(weights, networks.weights(generator), model)
        generator.load_state_dict(weights, strict=False)  # files are without the batch counters, which nothing reads
        self._generator = generator.to(self.device, torch.float32).eval()

    @property
    def parameters(self) -> dict[str, str | int]:
        """What decides the bytes of a result beside the model and the windows, as JSON values."""
        return {
            "engine": f"torch {torch.__version__}",
            "device": self.device.type,
            "precision": "float32",
            "threads": torch.get_num_threads(),
        }

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Batch:
        """The values to blend for patches in [-1, 1], shape (n, bands, rows, cols), sides multiples of the stride.

        Class probabilities for the palette head, bands in [-1, 1] for the raster head; shape (n, channels, rows, cols).

        Raises:
            ConfigError: the device has too little memory for the batch.
        """
        # On a CPU the bits of a result depend on the size of the batch that it was computed in.
        size = 1 if self.device.type == "cpu" else len(batch)
        with device.enough_memory("give a smaller --batch or --window, or --device cpu"):
            values = [self._predict(patches) for patches in torch.split(torch.from_numpy(batch), size)]
        return np.concatenate(values)

    def _predict(self, patches: torch.Tensor) -> Batch:
        # By itself cuDNN computes in TF32, with 10 bits of precision, and chooses algorithms by their speed.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            output = self._generator(patches.to(self.device))
        if self.manifest.generator.head == "palette":
            output = (output / (self.manifest.temperature or 1.0)).softmax(dim=1)
        values: Batch = output.float().cpu().numpy()
        return values


def _check(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], model: ModelFile) -> None:
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
