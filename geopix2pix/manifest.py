"""What a model says about itself: everything that decides a translation, so that nothing is guessed at run time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from geopix2pix import records
from geopix2pix.architecture import ENCODER_NAME, MAX_DEPTH, GeneratorSpec
from geopix2pix.errors import ModelFileError
from geopix2pix.normalize import Scaling
from geopix2pix.palette import Palette

FORMAT = 1
"""Raised when an older geopix2pix would misread a file. Fields that are only added do not raise it: unknown ones are
ignored."""

DType = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
Basis = Literal["georeference", "declared", "estimated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBands:
    """The bands that a model reads."""

    names: tuple[str, ...]
    dtype: DType
    scaling: Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBands:
    """The bands that a model writes; for the palette head the three of a picture in display colours."""

    names: tuple[str, ...]
    dtype: DType
    scaling: Scaling | None
    """Of the raster head; None for the palette head."""
    palette: Palette | None
    """Of the palette head; None for the raster head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundResolution:
    """The range of pixel sizes, in metres, that a model was trained on, and how they are known; None = unknown."""

    low: float | None = None
    high: float | None = None
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The description that travels in the header of a model file."""

    format: int = FORMAT
    name: str
    version: str
    """The version of the model."""
    package: str
    """The version of geopix2pix that wrote the file."""
    generator: GeneratorSpec
    source: SourceBands
    target: TargetBands
    window: int
    """Side of a window, pixels."""
    overlap: int
    """Pixels shared by neighbouring windows."""
    total_stride: int
    receptive_field: int | None
    """Side in pixels of the square that an output pixel can depend on; None = the whole window."""
    tile_independent: bool
    """Whether a test found that no pixel depends on where the window lies."""
    ground_resolution: GroundResolution
    temperature: float | None
    """What the logits of the palette head are divided by before they are called probabilities; None = uncalibrated."""
    provenance: Mapping[str, str]
    """Where data and weights come from, with licences: free text by topic."""

    def to_json(self) -> dict[str, Any]:
        return records.to_json(self)

    @classmethod
    def from_json(cls, data: Any, where: str = "manifest") -> "Manifest":
        """The manifest in a parsed JSON document; `where` is what error messages call the document.

        No field has a default, fields that are not known are ignored.

        Raises:
            ModelFileError: the format is newer than this package, or a field is missing or wrong; the message names
                the field by its path, such as `manifest.source.scaling.low[1]`.
        """
        number = data.get("format") if isinstance(data, Mapping) else None
        if isinstance(number, int) and number > FORMAT:
            raise ModelFileError(
                f"{where}.format: {number} is newer than {FORMAT}, the newest known to this version; upgrade geopix2pix"
            )
        try:
            manifest: Manifest = records.from_json(cls, data, where, {Palette: Palette.from_json})
            for field, holds, expected, found in _laws(manifest):
                records.checked(holds, found, f"{where}.{field}", expected)
        except records.RecordError as error:
            raise ModelFileError(str(error)) from error
        return manifest


Law = tuple[str, bool, str, Any]
"""The path of a field, whether it is right, what was expected, what was found."""


def _laws(m: Manifest) -> Iterator[Law]:
    """What must hold beyond the types of the fields."""
    yield "format", m.format == FORMAT, f"{FORMAT}", m.format
    yield from _network_laws(m.generator)
    yield from _band_laws(m)
    yield "window", 1 <= m.window <= 2**15, f"1 to {2**15}", m.window
    yield "overlap", 0 <= m.overlap < m.window, f"0 to below the window, {m.window}", m.overlap
    yield "total_stride", m.total_stride == m.generator.total_stride, f"{m.generator.total_stride}", m.total_stride
    yield "receptive_field", m.receptive_field is None or m.receptive_field > 0, "above 0", m.receptive_field
    yield "temperature", m.temperature is None or m.temperature > 0, "above 0", m.temperature
    low, high, basis = m.ground_resolution.low, m.ground_resolution.high, m.ground_resolution.basis
    sizes = [size for size in (low, high) if size is not None]
    yield "ground_resolution", sizes == sorted(sizes) and all(s > 0 for s in sizes), "0 < low <= high", sizes
    yield "ground_resolution.basis", bool(sizes) == bool(basis), "a basis if and only if low or high is known", basis


def _network_laws(generator: GeneratorSpec) -> Iterator[Law]:
    # The upper bounds keep an absurd file from asking for absurd amounts of memory when its network is built.
    yield "generator.in_bands", 1 <= generator.in_bands <= 1024, "1 to 1024", generator.in_bands
    yield "generator.out_channels", 1 <= generator.out_channels <= 1024, "1 to 1024", generator.out_channels
    yield "generator.depth", 1 <= generator.depth <= MAX_DEPTH, f"1 to {MAX_DEPTH}", generator.depth
    yield "generator.width", 1 <= generator.width <= 256, "1 to 256", generator.width
    yield "generator.dropout", 0 <= generator.dropout < 1, "a share from 0 to below 1", generator.dropout
    if generator.body == "encoder":
        plain = ENCODER_NAME.fullmatch(generator.encoder) is not None
        yield "generator.encoder", plain, "the plain name of an encoder", generator.encoder
        channels = generator.decoder_channels
        fits = len(channels) == generator.depth and all(1 <= c <= 4096 for c in channels)
        yield "generator.decoder_channels", fits, f"{generator.depth} numbers from 1 to 4096, one per level", channels


def _band_laws(m: Manifest) -> Iterator[Law]:
    source, target, channels = m.source, m.target, m.generator.out_channels
    scaling, palette = target.scaling, target.palette
    bands = m.generator.in_bands
    yield "source.names", len(source.names) == bands, f"{bands} names, one per band", source.names
    yield "source.scaling.low", len(source.scaling.low) == bands, f"{bands} numbers, one per band", source.scaling.low
    if m.generator.head == "raster":
        bands, low = channels, scaling.low if scaling else ()
        writable = target.dtype not in ("int64", "uint64")
        yield "target.dtype", writable, "a float or an integer of at most 32 bits", target.dtype
        yield "target.palette", palette is None, "null for the raster head", palette
        yield "target.scaling", scaling is not None, "a scaling for the raster head", scaling
        yield "target.scaling.low", len(low) == bands, f"{bands} numbers, one per band", low
    else:
        bands, names = 3, palette.names if palette else ()
        yield "target.dtype", target.dtype == "uint8", "uint8, as in a picture, for the palette head", target.dtype
        yield "target.scaling", scaling is None, "null for the palette head", scaling
        yield "target.palette", palette is not None, "a palette for the palette head", palette
        fits = len(names) == channels and all(name.isprintable() for name in names)
        yield "target.palette.classes", fits, f"{channels} printable names, one per channel", names
    yield "target.names", len(target.names) == bands, f"{bands} names, one per band", target.names
