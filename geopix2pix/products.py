"""What is made of the blended values of a model: a map, the classes in it, and how sure they are."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import ConfigError
from geopix2pix.manifest import Manifest
from geopix2pix.output import OutputSpec

Kind = Literal["map", "classes", "confidence"]
"""`map`: class colours, or bands in their own units; `classes`: indices of the palette; `confidence`: the probability
of the class that is painted, in percent."""
NOTHING = 255
"""Where there is no class and no confidence."""
RED_GREEN_BLUE = ("red", "green", "blue")


def painted(kind: Kind, values: npt.NDArray[np.float32], manifest: Manifest) -> npt.NDArray[Any]:
    """Blended values (channels, rows, cols) as pixels of a product, shape (bands, rows, cols)."""
    target = manifest.target
    pixels: npt.NDArray[Any]
    if kind == "classes":
        return classes_of(values)[None]
    if kind == "confidence":
        pixels = np.rint(100 * values.max(axis=0)).clip(0, 100).astype(np.uint8)
        return pixels[None]
    if target.palette is not None:
        pixels = np.take(target.palette.display.T, classes_of(values), axis=1)
        return pixels
    assert target.scaling is not None, "a manifest has a palette or a scaling"
    return target.scaling.backward(values, target.dtype)


def classes_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The class of the highest value (classes, rows, cols), the first of equals: `argmax(axis=0)` in half the time."""
    highest = values.max(axis=0)
    classes = np.full(highest.shape, len(values) - 1, np.uint8)
    for index in reversed(range(len(values) - 1)):
        np.putmask(classes, values[index] == highest, index)
    return classes


def check_kind(kind: Kind, manifest: Manifest) -> None:
    """Nothing, if a model can make a product.

    Raises:
        ConfigError: it has no classes.
    """
    if kind != "map" and manifest.target.palette is None:
        raise ConfigError(
            f"--{kind}: the model {manifest.name!r} paints bands ({', '.join(manifest.target.names)}), not classes; "
            f"leave out --{kind}, or give a model with a palette"
        )


def spec_of(kind: Kind, manifest: Manifest, form: OutputSpec) -> OutputSpec:
    """The form of a product; `form` has what does not depend on its kind: size, place, tags, driver, compression."""
    target, palette = manifest.target, manifest.target.palette
    if kind == "map":
        return replace(
            form,
            bands=len(target.names),
            dtype=target.dtype,
            band_names=target.names,
            colorinterp="rgb" if target.names == RED_GREEN_BLUE else "gray",
            resampling="nearest" if palette is not None else "average",
        )
    assert palette is not None, "see check_kind"
    if kind == "confidence":
        known = "none: uncalibrated" if manifest.temperature is None else f"{manifest.temperature:g}"
        more = {"GEOPIX2PIX_CONFIDENCE": "probability of the class in percent, 255 where there is none"}
        more["GEOPIX2PIX_TEMPERATURE"] = known
        return replace(
            form, band_names=("confidence",), resampling="average", nodata=NOTHING, tags={**form.tags, **more}
        )
    names = {f"CLASS_{index}": name for index, name in enumerate(palette.names)}
    return replace(
        form,
        band_names=("class",),
        nodata=NOTHING,
        classes=palette.names,
        colors=tuple(c.display for c in palette.classes),
        tags={**form.tags, **names},
    )
