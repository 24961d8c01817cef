"""Options that several commands share, and the forms of values that click does not know."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from .report import Mode
from .session import session

# The same lists as in the library, whose modules would load torch and rasterio just for `--help`; a test compares them.
DEVICES = ("auto", "cpu", "cuda", "mps")
ENGINES = ("torch", "onnxruntime")
PRECISIONS = ("fp32", "bf16", "fp16")
LAYOUTS = ("auto", "folders", "source-left", "source-right")
PRESETS = ("light", "pix2pix")
SPLITS = ("train", "validation", "test", "all")
SPLITS_BY = ("blocks", "polygons", "files")
ORIGINS = ("crs", "source")
MISALIGNED = ("keep", "reject", "shift")
EXPORT_LAYOUTS = ("folders", "side-by-side")
EXPORT_TARGETS = ("maps", "classes")
DELIVER = ("source", "working")
DAMAGED = ("stop", "mask")
FORMS = ("cog", "gtiff")
COMPRESSIONS = ("deflate", "zstd", "lzw")

FILE = click.Path(path_type=Path)  # whether it exists is checked by the library, for every way of use


def shelf() -> Path:
    """Where pulled models are kept if nobody says otherwise."""
    return Path(click.get_app_dir("geopix2pix")) / "models"


class ModelFile(click.ParamType[Path]):
    """The path of a model file, or the address of one that was pulled, such as hf:OWNER/NAME."""

    name = "model"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if isinstance(value, Path) or not value.startswith(("hf:", "https:", "http:")):
            return Path(value)
        from geopix2pix.errors import GeoPix2PixError
        from geopix2pix.modelshelf import on_shelf

        try:
            return on_shelf(value, shelf())
        except GeoPix2PixError as error:
            self.fail(str(error), param, ctx)


MODEL = ModelFile()

device = click.option(
    "--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="What computes; auto prefers a GPU."
)
threads = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads; the same number gives the same result bit for bit."
)
layout = click.option("--layout", type=click.Choice(LAYOUTS), default="auto", show_default=True, help="Of the pairs.")
palette = click.option("--palette", type=FILE, help="The classes of the targets; the default is PAIRS/palette.json.")
validation = click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the pairs that is only judged by, where there is no folder for them.",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

_progress = click.option(
    "--progress",
    type=click.Choice(get_args(Mode)),
    default="bar",
    show_default=True,
    help="A bar for people, or one JSON object per line on standard output for programs.",
)
_stop_on_eof = click.option("--stop-on-eof", is_flag=True, help="Stop when standard input is closed.")
_debug = click.option("--debug", is_flag=True, help="Show tracebacks and the warnings of other packages.")


def query(body: Callable[..., None]) -> Callable[..., None]:
    """A command that only looks. `body` is called with a `report` for what it finds."""

    @_debug
    @functools.wraps(body)
    def run(*, debug: bool, **values: Any) -> None:
        with session(_command(), debug=debug) as report:
            body(report=report, **values)

    return run


def work(body: Callable[..., None]) -> Callable[..., None]:
    """A command that works for a while. `body` is called with a `report`, the `Progress` callback for the library."""

    @_progress
    @_stop_on_eof
    @_debug
    @functools.wraps(body)
    def run(*, progress: Mode, stop_on_eof: bool, debug: bool, **values: Any) -> None:
        with session(_command(), progress, stop_on_eof=stop_on_eof, debug=debug) as report:
            body(report=report, **values)

    return run


def _command() -> str:
    return click.get_current_context().info_name or ""


Callback = Callable[[click.Context, click.Parameter, str | None], Any]


def numbers(kind: type[int] | type[float], form: str, count: int | None = None) -> Callback:
    """A click callback that reads numbers with commas between them; `form` is shown where they are not."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
        if value is None:
            return None
        try:
            found = tuple(kind(part) for part in value.split(","))
        except ValueError:
            found = ()
        if not found or (count and len(found) != count):
            raise click.BadParameter(f"{value!r} is not of the form {form}", context, parameter)
        return found

    return read


def _scaling(context: click.Context, parameter: click.Parameter, value: str) -> Any:
    read = numbers(float, "model, scene or LOW,HIGH", count=2)
    return value if value in ("model", "scene") else read(context, parameter, value)


bands = click.option("--bands", callback=numbers(int, "1,2,3"), help="The bands that the model reads, such as 3,2,1.")
scaling = click.option(
    "--scaling",
    callback=_scaling,
    metavar="model|scene|LOW,HIGH",
    default="model",
    show_default=True,
    help="How the scene's values become what the model saw: as it says itself, between the scene's own 2nd and "
    "98th percentile, or between two values.",
)
