"""What weights that lie channels last save torch on a CPU: `python -m benchmarks.layout`.

The network of the model in the package answers noise with its weights as `torch_engine` lays them and as torch makes
them, in turns. Printed are the seconds for a million pixels: the least and the median of some rounds.
"""

import copy
import statistics
from functools import partial

import torch

from benchmarks.translate import seconds
from geopix2pix.engine import package_model
from geopix2pix.model import ModelFile
from geopix2pix.torch_engine import TorchEngine

THREADS, ROUNDS = 2, 7
SHAPES = ((1, 1024), (4, 512), (1, 512))  # batch and side of the windows


def main() -> None:
    """Print a line for each shape and layout."""
    last = TorchEngine(ModelFile.load(package_model("torch")), "cpu", THREADS).network
    networks = {"channels last": last, "channels first": copy.deepcopy(last).to(memory_format=torch.contiguous_format)}
    for batch, side in SHAPES:
        patches = torch.rand(batch, 3, side, side) * 2 - 1
        with torch.inference_mode():
            rounds = [
                {name: seconds(partial(network, patches)) for name, network in networks.items()} for _ in range(ROUNDS)
            ]
        for name in networks:
            found = [times[name] * 1e6 / (batch * side**2) for times in rounds]
            least, middle = min(found), statistics.median(found)
            print(f"{batch} x {side:4}, {name:14}: {least:.3f} s for a million pixels, median {middle:.3f}")


if __name__ == "__main__":
    main()
