"""When a run was at work, on what: `times.jsonl`, apart from all that has to be the same from run to run."""

import json
import platform
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

NAME = "times.jsonl"
PACKAGES = ("torch", "numpy", "rasterio", "segmentation-models-pytorch", "timm")


class Diary:
    """The diary of a run that was begun or is continued; each entry tells the step and the time in UTC."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def begin(self, step: int, device: torch.device) -> None:
        """Note what the work goes on with from here."""
        self.note(step, begun=True, machine=_machine(device), versions=dict(_versions()))

    def note(self, step: int, **facts: object) -> None:
        now = datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="seconds")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": now, "step": step, **facts}) + "\n")


def _machine(device: torch.device) -> dict[str, str]:
    """The class of machine, without its name."""
    computes = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "system": f"{platform.system()}, {platform.machine()}",
        "device": computes,
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
