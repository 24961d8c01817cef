"""How a scene is shown to a model: which of its bands, in which scaling, and what is doubtful about it."""

import warnings
from collections.abc import Sequence
from typing import Literal

from geopix2pix.damage import Damage
from geopix2pix.errors import ConfigError, SceneError, SceneWarning, SeamWarning
from geopix2pix.manifest import Manifest
from geopix2pix.normalize import Scaling
from geopix2pix.raster import RasterReader
from geopix2pix.remote import Source

SceneScaling = Literal["model", "scene"] | tuple[float, float]
"""`model`: as the model file says; `scene`: between the 2nd and 98th percentile of the scene's valid pixels, for each
band; (low, high): the same two values, in the scene's own units, for all bands."""
PERCENTILES = (2.0, 98.0)


def open_scene(
    path: Source,
    manifest: Manifest,
    bands: Sequence[int] | None,
    max_pixels: int,
    damage: Damage | None = None,
) -> RasterReader:
    """The scene with the bands that the model reads, in its order; `bands` (1-based) overrides the choice.

    A scene whose only band has a colour table counts as red, green and blue.

    Raises:
        RasterError: the scene cannot be opened.
        SceneError: it does not have the bands.
    """
    wanted = manifest.source.names
    if bands is not None and len(bands) != len(wanted):
        raise SceneError(
            f"{path}: {len(bands)} bands were chosen {tuple(bands)}, but the model {manifest.name!r} reads "
            f"{len(wanted)} ({', '.join(wanted)}); name as many"
        )
    expand = bands is None and len(wanted) == 3
    reader = RasterReader(path, bands=bands, expand_colors=expand, max_pixels=max_pixels, damage=damage)
    if bands is not None or len(reader.band_names) != len(reader.bands):  # the latter for a colour table
        return reader
    try:
        chosen = _chosen(reader, manifest)
    except BaseException:
        reader.close()
        raise
    if chosen == reader.bands:
        return reader
    reader.close()
    return RasterReader(path, bands=chosen, max_pixels=max_pixels, damage=damage)


def _chosen(reader: RasterReader, manifest: Manifest) -> tuple[int, ...]:
    """The bands of the scene that go by the names of the model's, by description or colour, else the first so many."""
    wanted = manifest.source.names
    by_name: dict[str, int] = {}
    for name, band in zip(reader.band_names + reader.colorinterp, reader.bands * 2, strict=True):
        by_name.setdefault(name.lower(), band)
    if all(name.lower() in by_name for name in wanted):
        return tuple(by_name[name.lower()] for name in wanted)
    names, reads = ", ".join(reader.band_names), ", ".join(wanted)
    if len(reader.bands) < len(wanted):
        raise SceneError(
            f"{reader.path}: has {len(reader.bands)} data band(s) ({names}), but the model {manifest.name!r} reads "
            f"{len(wanted)} ({reads}); choose them with --bands, such as --bands {','.join('1' * len(wanted))}, or "
            "another model"
        )
    chosen = reader.bands[: len(wanted)]
    if len(reader.bands) > len(wanted):
        warnings.warn(
            f"{reader.path}: its bands ({names}) do not go by the names that the model reads ({reads}): bands "
            f"{chosen} are taken for them; choose others with --bands",
            SceneWarning,
            stacklevel=4,
        )
    return chosen


def scene_scaling(reader: RasterReader, manifest: Manifest, choice: SceneScaling) -> Scaling:
    """The scaling from the scene's units to what the model saw in training.

    Raises:
        SceneError: the model's own scaling is for another dtype, or the scene has no valid pixel.
        ConfigError: the given range is impossible.
    """
    bands = len(manifest.source.names)
    if choice == "model":
        if reader.dtype != manifest.source.dtype:
            raise SceneError(
                f"{reader.path}: holds {reader.dtype}, but the model {manifest.name!r} was trained on "
                f"{manifest.source.dtype}; say how to scale it: --scaling scene, or --scaling LOW,HIGH in its own units"
            )
        return manifest.source.scaling
    if choice == "scene":
        low, high = reader.percentiles(*PERCENTILES)
        if not (low < high).all():
            raise SceneError(
                f"{reader.path}: --scaling scene needs bands with contrast, but their percentiles 2 and 98 are "
                f"{low.tolist()} and {high.tolist()}; use --scaling LOW,HIGH"
            )
        return Scaling(tuple(low.tolist()), tuple(high.tolist()))
    if not choice[0] < choice[1]:
        raise ConfigError(f"--scaling {choice[0]},{choice[1]}: the first value must be below the second")
    return Scaling.uniform(*choice, bands)


def warn_of_doubts(reader: RasterReader, manifest: Manifest) -> None:
    """Warnings for what the result cannot tell: no georeference, a model that depends on its tiles."""
    if not reader.georeference.is_known:
        warnings.warn(
            f"{reader.path}: has no georeference, so neither has the result; it lies pixel on pixel over the scene",
            SceneWarning,
            stacklevel=2,
        )
    if not manifest.tile_independent:
        warnings.warn(
            f"model {manifest.name!r} depends on where its windows lie, so seams cannot be ruled out; "
            "measure them with --seam-report",
            SeamWarning,
            stacklevel=2,
        )
