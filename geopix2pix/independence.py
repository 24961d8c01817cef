"""Does a generator answer for a pixel in the same way wherever the pixel lies in its tile? Measured, not declared.

A pixel that is not a number spoils exactly the outputs that depend on it: nothing absorbs a NaN, for zero times NaN is
NaN. So a few NaNs in a long thin scene show how far a network looks, and whether it looks over the whole tile.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.networks import Generator

FLATNESS = 1e-4  # an eightieth of a level of eight bits, on the scale from -1 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Independence:
    """What `tile_independence` found."""

    receptive_field: int | None
    """Side of the square, centred on an output pixel, that holds every input pixel on which the output depends. None
    if there is no limit, and for a network that is not flat: its outputs also depend on where the tile ends."""
    flat: bool
    """A constant scene becomes a picture of one value: neither padding nor the phase of a stride shows."""
    independent: bool
    """Flat, and nothing outside a limited receptive field changes an output."""


def tile_independence(generator: Generator, *, limit: int = 8192) -> Independence:
    """What the outputs of a generator in evaluation mode depend on, measured on a copy in double precision.

    A receptive field of about `limit` pixels counts as unlimited. The time grows with the receptive field times the
    total stride: seconds for 947 pixels and a stride of 32.
    """
    # In double precision nothing is rounded away, and none of the fast convolutions that spread a NaN are used.
    probe = copy.deepcopy(generator).cpu().double().eval()
    with torch.no_grad():
        flat = _is_flat(probe)
        reach = _reach(probe, limit) if flat else None
        return Independence(
            receptive_field=None if reach is None else 2 * reach + 1,
            flat=flat,
            independent=reach is not None and _ignores_beyond(probe, reach),
        )


def _is_flat(probe: Generator) -> bool:
    side = 2 * probe.spec.total_stride
    bands = torch.linspace(1.0, 0.5, probe.spec.in_bands, dtype=torch.float64).view(1, -1, 1, 1)
    for value in (-1.0, -0.3, 0.0, 0.4, 1.0):
        output = probe((value * bands).expand(1, -1, side, side))
        if not (output.amax(dim=(2, 3)) - output.amin(dim=(2, 3)) <= FLATNESS).all():
            return False
    return True


def _turned(probe: Generator, turns: int, scene: Tensor) -> Tensor:
    """The probe's output for a scene that is turned by quarters, turned back: every direction becomes the right."""
    output: Tensor = probe(scene.rot90(turns, (2, 3)))
    return output.rot90(-turns, (2, 3))


def _reach(probe: Generator, limit: int) -> int | None:
    """The largest distance, along an axis, from a pixel to an output that depends on it; None beyond `limit`."""
    length = 8 * probe.spec.total_stride
    while length <= limit:
        farthest = 0
        for turns in range(4):
            reach = _reach_to_right(partial(_turned, probe, turns), probe.spec, length)
            if reach is None:
                break
            farthest = max(farthest, reach)
        else:
            return farthest
        length *= 2
    return None


def _reach_to_right(look: Callable[[Tensor], Tensor], spec: GeneratorSpec, length: int) -> int | None:
    stride = spec.total_stride
    start = 2 * stride  # beside the left edge, which cannot shorten the way to the right

    @cache
    def furthest(last: int) -> int:
        """The last column that depends on columns up to `last`; those of one stride stand for all before them."""
        scene = torch.zeros(1, spec.in_bands, stride, length, dtype=torch.float64)
        scene[..., last - stride + 1 : last + 1] = torch.nan
        return int(look(scene).isnan().any(dim=2).any(dim=1).nonzero()[:, 1].max())

    def largest(low: int, high: int) -> int:
        """The largest furthest(last) - last between two columns; `furthest` never falls, so equal ends are constant."""
        if furthest(low) == furthest(high):
            return furthest(low) - low
        middle = (low + high) // 2
        if middle == low:
            return max(furthest(low) - low, furthest(high) - high)
        return max(largest(low, middle), largest(middle, high))

    if furthest(start + stride) == length - 1:
        return None
    return largest(start, start + stride)


def _ignores_beyond(probe: Generator, reach: int) -> bool:
    """Other pixels at more than `reach` from the columns of one stride change no bit of the outputs there."""
    stride = probe.spec.total_stride
    side = -(-reach // stride) + 1  # strides on each side, one of them beyond the reach
    length = (2 * side + 1) * stride
    first, last = side * stride, (side + 1) * stride
    random = torch.Generator().manual_seed(0)
    scene, other = torch.rand(2, 1, probe.spec.in_bands, stride, length, dtype=torch.float64, generator=random) * 2 - 1
    other[..., first - reach : last + reach] = scene[..., first - reach : last + reach]
    return all(
        torch.equal(_turned(probe, turns, scene)[..., first:last], _turned(probe, turns, other)[..., first:last])
        for turns in (0, 1)
    )
