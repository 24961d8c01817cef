"""geopix2pix: learn to turn georeferenced rasters into other georeferenced rasters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopix2pix.arrays import translate_array as translate_array
    from geopix2pix.evaluation.scoring import evaluate as evaluate
    from geopix2pix.many import translate_many as translate_many
    from geopix2pix.training import train as train
    from geopix2pix.translation import translate as translate

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "train", "translate", "translate_array", "translate_many"]

# torch and rasterio take seconds to import, so the functions come when they are first asked for. Their modules have
# other names: a submodule `translate` would rebind the function as soon as anybody imported it.
_FUNCTIONS = {
    "evaluate": "geopix2pix.evaluation.scoring",
    "train": "geopix2pix.training",
    "translate": "geopix2pix.translation",
    "translate_array": "geopix2pix.arrays",
    "translate_many": "geopix2pix.many",
}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
