"""The command group `geopix2pix tiles`."""

import click

from .tiles_build import build
from .tiles_exchange import export, import_
from .tiles_inspect import inspect
from .tiles_split import split


@click.group()
def tiles() -> None:
    """Build, divide and look into sets of training tiles."""


for command in (build, split, inspect, import_, export):
    tiles.add_command(command)
