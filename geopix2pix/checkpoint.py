"""Snapshots of a training run: named tensors and a JSON state in one safetensors file, never a pickle."""

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from geopix2pix.errors import CheckpointError, OutputError, TrainingWarning
from geopix2pix.files import replacing

STATE = "geopix2pix-checkpoint"  # the metadata key in the header of the file


class Checkpoint(NamedTuple):
    """A run at one moment."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that `path` is at all times either absent, the old one or the new one.

    Raises:
        OutputError: the file cannot be written.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(plain, temporary, metadata={STATE: json.dumps(state)})
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{path}: the checkpoint cannot be written ({error}); free some space or check rights"
        ) from error


def read(path: Path) -> Checkpoint:
    """The checkpoint at `path`.

    Raises:
        CheckpointError: the file is missing, truncated, or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})[STATE])
            if not isinstance(state, dict):
                raise ValueError(f"its state is no JSON object but a {type(state).__name__}")
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({error}); delete it to go on from another"
        ) from error


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: int = 2) -> Path:
    """Write the checkpoint of `step` into `folder` and drop all but the `keep` newest; its path."""
    path = folder / f"step-{step:09d}.safetensors"
    write(path, tensors, state)
    left_by_a_kill = folder.glob(".*tmp*")  # names of ours and of safetensors for what is being written
    for old in (*numbered(folder)[:-keep], *left_by_a_kill):
        old.unlink()
    return path


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest readable checkpoint in `folder`; None where there is none. Unreadable ones are skipped with a warning.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    found = numbered(folder)
    for path in reversed(found):
        try:
            return read(path)
        except CheckpointError as error:
            warnings.warn(f"skipped a damaged checkpoint: {error}", TrainingWarning, stacklevel=2)
    if found:
        raise CheckpointError(f"{folder}: none of its {len(found)} checkpoints can be read; start anew with overwrite")
    return None


def numbered(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("step-*.safetensors") if re.fullmatch(r"step-\d{9}", path.stem))


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The state of an Adam optimiser as tensors named `prefix.parameter.quantity`."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Put tensors of `optimizer_tensors` back; learning rates are left as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(f"{prefix}."):
            _, index, quantity = name.rsplit(".", 2)
            state.setdefault(int(index), {})[quantity] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
