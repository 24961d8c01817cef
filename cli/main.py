"""The `geopix2pix` command. Commands import the library when they run: `--help` loads neither torch nor rasterio."""

import click

from geopix2pix import __version__

from .doctor import doctor
from .evaluate import evaluate
from .merge import merge
from .model import model
from .run_report import report
from .sample import sample
from .tiles import tiles
from .train import train
from .translate import translate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="geopix2pix")
def main() -> None:
    """Learn to turn georeferenced rasters into other georeferenced rasters: satellite scenes into street maps.

    Exit codes: 0 done, 1 something that you can mend, 2 wrong usage, 70 a bug, 130 cancelled.
    """


for command in (translate, merge, tiles, train, report, evaluate, model, sample, doctor):
    main.add_command(command)
