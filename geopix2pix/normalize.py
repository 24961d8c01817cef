"""Band units to the [-1, 1] that networks see, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import ConfigError

# Limits of `low` and `high`: within them float32 neither overflows nor underflows on the way to [-1, 1] and back.
LARGEST_VALUE = 1e30
SMALLEST_RANGE = 1e-30


@dataclass(frozen=True, slots=True)
class Scaling:
    """The range of each band that becomes [-1, 1], in band units.

    Raises:
        ConfigError: `low` and `high` differ in length, are empty or not finite, or a `low` is not below its `high`.
    """

    low: tuple[float, ...]
    """What becomes -1, one value per band."""
    high: tuple[float, ...]
    """What becomes 1, one value per band."""
    clip: bool = True
    """Whether `forward` moves values outside the range to its nearer end."""

    def __post_init__(self) -> None:
        if not self.low or len(self.low) != len(self.high):
            raise ConfigError(
                f"a scaling needs one `low` and one `high` for each band, found {len(self.low)} and {len(self.high)}"
            )
        for band, (low, high) in enumerate(zip(self.low, self.high, strict=True), start=1):
            if not (low >= -LARGEST_VALUE and high <= LARGEST_VALUE and high - low >= SMALLEST_RANGE):  # true for NaN
                raise ConfigError(
                    f"band {band} cannot be scaled from low {low} to high {high}: both must be finite (at most "
                    f"{LARGEST_VALUE:g} in size) and low must be below high (by at least {SMALLEST_RANGE:g})"
                )

    @classmethod
    def full_range(cls, dtype: str, bands: int) -> "Scaling":
        """All that an integer `dtype` of at most 32 bits can hold, for each of `bands` bands.

        Raises:
            ConfigError: `dtype` is no such integer.
        """
        low, high = _limits(dtype)
        return cls.uniform(low, high, bands)

    @classmethod
    def uniform(cls, low: float, high: float, bands: int) -> "Scaling":
        """The same range for each of `bands` bands."""
        return cls((float(low),) * bands, (float(high),) * bands)

    def forward(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Band units to [-1, 1], shape (bands, rows, cols).

        Without `clip`, values outside the range leave [-1, 1]. A NaN stays a NaN: filling invalid pixels is the
        reader's work. Every value of an 8- or 16-bit integer survives `forward` and `backward` over the full range;
        wider values keep the 24 bits of a float32.
        """
        center, half = self._center_and_half(array, array.dtype)
        values = array - center
        values /= half
        scaled: npt.NDArray[np.float32] = values.astype(np.float32, copy=False)
        return np.clip(scaled, -1, 1, out=scaled) if self.clip else scaled

    def backward(self, array: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
        """[-1, 1] to band units of `dtype`, shape (bands, rows, cols).

        For an integer `dtype` values are rounded (half to even) and clipped to what it can hold; `array` must be free
        of NaN then.

        Raises:
            ConfigError: `dtype` is neither a float nor an integer of at most 32 bits.
        """
        center, half = self._center_and_half(array, np.dtype(dtype))
        values: npt.NDArray[Any] = array * half + center
        if np.dtype(dtype).kind != "f":
            values = np.rint(values).clip(*_limits(dtype))
        return values.astype(dtype, copy=False)

    def _center_and_half(
        self, array: npt.NDArray[Any], units: np.dtype[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The middle and half the width of each range, shape (bands, 1, 1).

        Their dtype carries the arithmetic: float32 where it holds every value of the dtype `units`, else float64.
        """
        if array.ndim != 3 or len(array) != len(self.low):
            raise ValueError(f"a scaling of {len(self.low)} bands does not fit an array of shape {array.shape}")
        low, high = (np.reshape(np.array(v, np.float64), (-1, 1, 1)) for v in (self.low, self.high))
        working = np.result_type(units, np.float32)
        return ((low + high) / 2).astype(working), ((high - low) / 2).astype(working)

    def to_json(self) -> dict[str, Any]:
        return {"low": list(self.low), "high": list(self.high), "clip": self.clip}

    @classmethod
    def from_json(cls, data: object, where: str) -> "Scaling":
        """The scaling in a parsed JSON document; `where` names the document in error messages.

        Raises:
            ConfigError: a field is missing, of the wrong type, or contradicts another; the message names it.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where}: a scaling is a JSON object with `low` and `high`, found {type(data).__name__}")
        low, high = (_numbers(data.get(field), f"{where}: `{field}`") for field in ("low", "high"))
        clip = data.get("clip", True)
        if not isinstance(clip, bool):
            raise ConfigError(f"{where}: `clip` must be true or false, found {clip!r}")
        try:
            return cls(low, high, clip)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def _limits(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    if kind.kind not in "iu" or kind.itemsize > 4:  # float64 does not hold the limits of 64-bit integers
        raise ConfigError(
            f"{dtype} has no full range to scale by: use an integer of at most 32 bits, or a float with given `low` "
            "and `high`"
        )
    info = np.iinfo(kind)
    return float(info.min), float(info.max)


def _numbers(values: object, where: str) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ConfigError(f"{where} must be a list of numbers, one per band, found {values!r}")
    try:
        return tuple(float(v) for v in values)
    except OverflowError:  # JSON integers have no limit
        raise ConfigError(f"{where} holds a number that no float can hold") from None
