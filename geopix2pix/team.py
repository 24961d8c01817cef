"""The processes that train one model together, and how each of them computes; one alone is a team, too."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import patch_environment
from accelerate.utils.other import get_free_port
from torch import Tensor, nn

from geopix2pix.child import ASKING, bind, unasked
from geopix2pix.configuration import TrainingConfig
from geopix2pix.errors import ConfigError, GeoPix2PixError, TrainingError

PATIENCE = timedelta(days=7)  # while the first process judges the model, the others wait
FAREWELL = 10.0  # seconds in which a process that fails can say why


class Team:
    """One process of those that train together. Each has the same networks, and its own part of every batch.

    After each backward pass the gradients are averaged over the processes, so that all take the same step.
    """

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self._accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no" if config.precision == "fp32" else config.precision,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        self.device: torch.device = self._accelerator.device
        self.rank: int = self._accelerator.process_index
        self.count: int = self._accelerator.num_processes

    @property
    def leads(self) -> bool:
        """Whether this process is the one that judges, logs and saves."""
        return self.rank == 0

    def lower(self) -> AbstractContextManager[None]:
        """A context in which networks compute in the precision that was asked for."""
        context: AbstractContextManager[None] = self._accelerator.autocast()
        return context

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes of a tensor that each of them has; all of them have to ask."""
        if self.count == 1:
            return value
        mean: Tensor = self._accelerator.reduce(value.detach().float(), "mean")
        return mean

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Put the means over the processes into float32 tensors that each of them has."""
        found = list(tensors)
        if self.count == 1 or not found:
            return
        means = self.mean(torch.cat([tensor.detach().flatten() for tensor in found]))
        for tensor, mean in zip(found, torch.split(means, [tensor.numel() for tensor in found]), strict=True):
            tensor.detach().copy_(mean.view(tensor.shape))

    def prepared(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The optimizer, made fit for the precision."""
        fit: torch.optim.Optimizer = self._accelerator.prepare_optimizer(optimizer, device_placement=False)
        return fit

    def descend(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, clip: float) -> None:
        """One step of a prepared optimizer; with `clip` above zero no gradient of the network is longer than that."""
        optimizer.zero_grad(set_to_none=True)
        if not loss.requires_grad:
            return
        self._accelerator.backward(loss)
        self.average(p.grad for p in network.parameters() if p.grad is not None)
        if clip:
            self._accelerator.unscale_gradients(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()

    def wait(self) -> None:
        """Go on when all processes have come to this."""
        self._accelerator.wait_for_everyone()

    def scaling(self) -> dict[str, float]:
        """The state of the gradient scaling that fp16 needs; else nothing."""
        scaler = self._accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def rescale(self, scaling: dict[str, float]) -> None:
        """Put back what `scaling` returned."""
        if self._accelerator.scaler is not None and scaling:
            self._accelerator.scaler.load_state_dict(scaling)


@contextmanager
def joined(config: TrainingConfig, device: torch.device, rank: int = 0, port: int = 0) -> Iterator[Team]:
    """The team as the process `rank` sees it; `port` of this computer is where the processes meet.

    Raises:
        ConfigError: the device does not compute in that precision, or there are too few for so many processes.
    """
    _check(config, device)
    count = config.processes
    place: dict[str, str | int] = {}
    if count > 1:
        place |= {"rank": rank, "local_rank": rank, "world_size": count, "local_world_size": count}
        place |= {"master_addr": "127.0.0.1", "master_port": port, "omp_num_threads": torch.get_num_threads()}
    _forget()
    with patch_environment(**place):
        team = Team(config, device)
    try:
        yield team
    finally:
        if team.count > 1:
            torch.distributed.destroy_process_group()
        _forget()


@contextmanager
def assisted(processes: int, assist: Callable[..., None], *arguments: object) -> Iterator[int]:
    """Other processes that run `assist(rank, port, *arguments)` meanwhile; the port, zero where there are none.

    Raises:
        GeoPix2PixError: what one of them raised.
        TrainingError: one of them ended without a word.
    """
    if processes == 1:
        yield 0
        return
    context = multiprocessing.get_context("spawn")
    complaints = context.SimpleQueue()
    port = get_free_port()
    others = [
        context.Process(target=_assisting, args=(complaints, assist, rank, port, *arguments))
        for rank in range(1, processes)
    ]
    with unasked():
        for other in others:
            other.start()
    try:
        yield port
        for other in others:
            other.join()
    except RuntimeError as error:  # so a process learns that another one is gone
        for other in others:
            other.join(FAREWELL)
        said = None if complaints.empty() else complaints.get()
        if isinstance(said, GeoPix2PixError):
            raise said from error
        codes = ", ".join(str(other.exitcode) for other in others)
        raise TrainingError(
            f"one of {processes} processes is gone ({said or error}; the others' exit codes are {codes}); give the "
            "same command again to go on, with fewer --processes if memory ran out"
        ) from error
    finally:
        for other in others:
            other.kill()
            other.join()


def _assisting(complaints: Any, assist: Callable[..., None], rank: int, port: int, *arguments: object) -> None:
    bind(*ASKING)  # the first process decides what is done about it
    try:
        assist(rank, port, *arguments)
    except (GeoPix2PixError, RuntimeError) as error:  # the first process tells it, unless it is the one that is gone
        complaints.put(error)


def _check(config: TrainingConfig, device: torch.device) -> None:
    if config.precision == "fp16" and device.type == "cpu":
        raise ConfigError("--precision fp16: CPUs do not train in it; give bf16 or fp32, or a GPU")
    places = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device.type, config.processes)
    if config.processes > places:
        raise ConfigError(
            f"--processes {config.processes}: each needs a device of its own, and of the kind {device.type} there is "
            f"only {places} here; give fewer processes, or --device cpu"
        )


def _forget() -> None:
    """Let accelerate forget the last run of this process, whose device and precision it would keep for all others."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
