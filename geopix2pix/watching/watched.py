"""Who watches a run while it is at work: its diary, and TensorBoard on request."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn

from geopix2pix.progress import Event, Progress
from geopix2pix.watching.board import Board
from geopix2pix.watching.diary import Diary


@contextmanager
def watched(
    run: Path,
    networks: Mapping[str, nn.Module],
    step: int,
    steps_per_epoch: int,
    device: torch.device,
    progress: Progress,
    *,
    tensorboard: bool,
) -> Iterator[Progress]:
    """While the run in a folder goes on after `step`: a callback that notes what it is told before `progress` hears it.

    Raises:
        ConfigError: TensorBoard was asked for and is not installed.
    """
    with ExitStack() as stack:
        if tensorboard:
            board = Board(run, networks, step, steps_per_epoch)
            stack.callback(board.close)
            progress = board.following(progress)
        diary = Diary(run)
        diary.begin(step, device)
        last = step

        def follow(event: Event) -> None:
            nonlocal last
            if event.stage == "train":
                last = event.done
            elif event.stage == "validate":
                diary.note(last)
            progress(event)

        try:
            yield follow
        finally:
            diary.note(last)
