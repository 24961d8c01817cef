"""The command `geopix2pix train`."""

from pathlib import Path
from typing import Any, get_args

import click

from geopix2pix.architecture import Adversary, Norm

from . import options
from .report import Report


@click.command()
@click.argument("pairs", type=options.FILE, nargs=-1, required=True)
@click.option("--output", type=options.FILE, required=True, metavar="RUN", help="The folder of the run.")
@click.option(
    "--config",
    "file",
    type=options.FILE,
    metavar="FILE.toml",
    help="Options in a file, by the names in RUN/config.toml; what is given here counts more.",
)
@click.option(
    "--preset",
    type=click.Choice(options.PRESETS),
    show_default="light",
    help="light: a small network without seams that also trains on a CPU; pix2pix: the recipe as published.",
)
@options.layout
@options.palette
@options.validation
@click.option("--shares", callback=options.numbers(float, "2,1"), help="How often each of PAIRS is drawn from: 2,1.")
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Passes over the crops; the learning rate falls over the last ones."
)
@click.option("--images-per-epoch", type=click.IntRange(min=1), help="Crops in an epoch.")
@click.option("--batch", type=click.IntRange(min=1), help="Crops in a step.")
@click.option("--crop", type=click.IntRange(min=1), help="Side of a crop in pixels.")
@click.option("--load-size", type=click.IntRange(min=0), help="Side of pictures before they are cropped; 0 = as it is.")
@click.option(
    "--scale", callback=options.numbers(float, "0.5,2", count=2), help="Range of the random magnification of a crop."
)
@click.option("--jitter", type=float, help="Strength of the random change of the source's light; 0 = none.")
@click.option("--learning-rate", type=float, help="Of both networks, with Adam.")
@click.option(
    "--adversary", type=click.Choice(get_args(Adversary)), help="The adversarial loss; none = no discriminator."
)
@click.option("--adversarial-weight", type=float, help="Weight of the adversarial loss.")
@click.option("--l1-weight", type=float, help="Weight of the mean absolute difference.")
@click.option("--class-weight", type=float, help="Weight of the class loss, where there is a palette.")
@click.option("--matching-weight", type=float, help="Weight of the feature matching loss.")
@click.option("--perceptual-weight", type=float, help="Weight of the perceptual loss.")
@click.option(
    "--perceptual-weights", type=options.FILE, help="The network of LPIPS by which it compares (.safetensors)."
)
@click.option("--discriminator-scales", type=click.IntRange(1, 4), help="Discriminators, each for half the size.")
@click.option("--warm-up", type=click.IntRange(min=0), help="Epochs before the adversary joins.")
@click.option("--freeze-encoder", type=click.IntRange(min=0), help="Epochs before the encoder learns, too.")
@click.option("--encoder-rate", type=float, help="Factor on the encoder's learning rate.")
@click.option("--clip", type=float, help="Largest norm of a gradient; 0 = any.")
@click.option("--ema", type=float, help="Decay of the moving average of the weights that becomes the model; 0 = none.")
@click.option("--encoder", metavar="NAME", help="Another encoder of segmentation-models-pytorch than the preset's.")
@click.option("--norm", type=click.Choice(get_args(Norm)), help="Another normalization than the preset's.")
@click.option(
    "--encoder-weights",
    type=options.FILE,
    metavar="FILE|default",
    help="Pretrained weights of the encoder (.safetensors), or of a model; default = the model in the package.",
)
@click.option(
    "--start-from",
    type=options.FILE,
    metavar="MODEL|default",
    help="Go on from the generator of this model (.safetensors); default = the model in the package.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Another seed, other weights and crops.")
@click.option("--precision", type=click.Choice(options.PRECISIONS), help="What networks compute in; fp16 on a GPU.")
@click.option("--compile", "compiled", is_flag=True, default=None, help="Let torch compile the generator.")
@click.option("--processes", type=click.IntRange(min=1), help="Processes that share each batch, one for each GPU.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that read pictures; no result depends on it.")
@click.option("--tensorboard", is_flag=True, help="Write RUN/tensorboard too, to be watched while it trains.")
@options.device
@options.threads
@options.overwrite
@options.work
def train(
    pairs: tuple[Path, ...],
    *,
    output: Path,
    file: Path | None,
    layout: Any,
    palette: Path | None,
    validation: float,
    shares: tuple[float, ...] | None,
    device: str,
    overwrite: bool,
    tensorboard: bool,
    report: Report,
    **changes: Any,
) -> None:
    """Train a model on the folders PAIRS and write RUN/model.safetensors.

    A folder holds `source/` and `target/` with equal names, or pictures that show both side by side. Options that are
    not given are those of the file or else the preset's. When it was stopped or killed, the same command goes on.
    """
    from geopix2pix.configfile import read_config
    from geopix2pix.configuration import configure
    from geopix2pix.errors import Cancelled, ConfigError
    from geopix2pix.model import default_model
    from geopix2pix.pairs import open_pairs
    from geopix2pix.training import train

    for name in ("encoder_weights", "start_from"):
        if changes[name] == Path("default"):
            changes[name] = default_model()
    written = read_config(file) if file else {}
    shares = shares or (1.0,) * len(pairs)
    if len(shares) != len(pairs):
        raise ConfigError(f"--shares: {len(shares)} were given for {len(pairs)} folders; give one for each")
    sets = [
        open_pairs(folder, layout=layout, palette=palette, validation=validation, weight=share)
        for folder, share in zip(pairs, shares, strict=True)
    ]
    given = {name: value for name, value in changes.items() if value is not None}
    config = configure(sets, **{**written, **given})
    try:
        model = train(
            sets, output, config, device_name=device, overwrite=overwrite, tensorboard=tensorboard, progress=report
        )
    except Cancelled as error:
        if overwrite:  # the same command would begin anew
            raise Cancelled("cancelled; the same command without --overwrite goes on") from error
        raise
    report.result(model)
