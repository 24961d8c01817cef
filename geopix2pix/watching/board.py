"""A run as TensorBoard shows it: curves, histograms of weights and gradients, and the sheets of samples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from geopix2pix.errors import ConfigError
from geopix2pix.progress import Event, Progress
from geopix2pix.watching.history import History

FOLDER = "tensorboard"
FLUSH_SECONDS = 5  # what was not yet written is lost when the run is killed


class Board:
    """Writes what the events of a run tell into the folder `tensorboard` of the run.

    A run that goes on after `step` takes back what was shown of later steps; a board that is new gets the curves of all
    steps before it from the log.
    """

    def __init__(self, run: Path, networks: Mapping[str, nn.Module], step: int, steps_per_epoch: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"tensorboard was asked for, but it is not installed ({error}); pip install 'geopix2pix[train]'"
            ) from error
        self._run, self._networks, self._steps_per_epoch = run, networks, steps_per_epoch
        new = not any((run / FOLDER).glob("*tfevents*"))
        # Its functions have no types.
        self._writer: Any = SummaryWriter(str(run / FOLDER), purge_step=step + 1, flush_secs=FLUSH_SECONDS)
        if new and step:
            self._catch_up()

    def following(self, progress: Progress) -> Progress:
        """A callback that shows each event here before it goes to `progress`."""

        def follow(event: Event) -> None:
            self._show(event)
            progress(event)

        return follow

    def close(self) -> None:
        self._writer.close()

    def _catch_up(self) -> None:
        history = History.read(self._run)
        for name, points in (history.losses() | {"rate": history.rates()}).items():
            for step, value in points:
                self._writer.add_scalar(f"train/{name}", value, step)
        for name, points in history.figures().items():
            for epoch, value in points:
                self._writer.add_scalar(f"validate/{name}", value, epoch * self._steps_per_epoch)

    def _show(self, event: Event) -> None:
        step = {"train": event.done, "validate": event.done * self._steps_per_epoch}.get(event.stage)
        if step is None:
            return
        for name, value in event.values.items():
            self._writer.add_scalar(f"{event.stage}/{name}", value, step)
        if event.stage == "validate":
            self._show_epoch(event.done, step)

    def _show_epoch(self, epoch: int, step: int) -> None:
        """The weights, the gradients of the last step, and the sheet of samples."""
        for owner, network in self._networks.items():
            for name, parameter in network.named_parameters():
                self._writer.add_histogram(f"{owner}/{name}", parameter, step)
                if parameter.grad is not None:
                    self._writer.add_histogram(f"{owner}-gradient/{name}", parameter.grad, step)
        with Image.open(self._run / "samples" / f"epoch-{epoch:04d}.png") as sheet:
            self._writer.add_image("source, target, output", np.asarray(sheet), step, dataformats="HWC")
        self._writer.flush()
