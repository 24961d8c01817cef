"""Training: from folders of pairs to a model file, in a run folder that can be interrupted and continued."""

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geopix2pix import alarms, checkpoint, device, networks, runlog
from geopix2pix.alarms import Entries
from geopix2pix.configfile import to_toml
from geopix2pix.configuration import TrainingConfig
from geopix2pix.dataset import Item
from geopix2pix.errors import (
    Cancelled,
    CheckpointError,
    ConfigError,
    OutputError,
    TrainingError,
    TrainingWarning,
)
from geopix2pix.learner import Learner, Pace
from geopix2pix.outcome import check_describable, write_trained
from geopix2pix.pair import PairSet
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.run import Run, held
from geopix2pix.soundness import sound
from geopix2pix.team import assisted, joined
from geopix2pix.validation import offsets, scores, shares, variants, write_samples
from geopix2pix.watching.runpage import write_report
from geopix2pix.watching.watched import watched

FIRST_CALIBRATION = 16  # batches for the statistics of frozen norms, before the first step
LAST_CALIBRATION = 64  # batches for the statistics of batch norms, for the finished model
RECORDS = ("config.json", "config.toml", runlog.NAME, "times.jsonl", "model.safetensors", "report.html")
PICTURES = ("samples/epoch-*.png", "tensorboard/*tfevents*")


@dataclass(slots=True)
class _Course:
    """How far a run has come."""

    step: int = 0
    epoch: int = 0
    """Epochs that are finished, validation included."""
    best: float | None = None
    """The highest score of a finished epoch."""


def train(
    pairs: PairSet | Sequence[PairSet],
    output: Path,
    config: TrainingConfig,
    *,
    device_name: str = "auto",
    overwrite: bool = False,
    tensorboard: bool = False,
    progress: Progress = silent,
) -> Path:
    """Train on the pairs and write the model; its path, `output/model.safetensors`.

    A run folder that holds checkpoints of the same run is continued; on the CPU, with the same number of threads, to
    the same bytes that an undisturbed run would have reached. With `overwrite` whatever run it holds is deleted first.
    `output` also receives `config.json`, `config.toml`, `log.jsonl`, `checkpoints/` and in `samples/` one picture per
    epoch: source, target and output of a few crops; at the end `report.html`, and on request `tensorboard/` meanwhile.

    Raises:
        PairsError: the sets cannot be mixed, or more than a few pictures cannot be read.
        ConfigError: the options do not fit the pairs or the run in `output`, another process trains there, or the
            memory is not enough.
        CheckpointError: the run in `output` cannot be continued.
        TrainingError: a loss is no longer finite.
        OutputError: the run folder cannot be written, or holds the same files of another origin.
        Cancelled: `progress` asked to stop; the run can be continued.
    """
    remedy = "give a smaller --batch or --crop, fewer --workers, or another --device"
    with device.enough_memory(remedy):  # pictures are decoded to see whether they can be
        run = Run.of(sound([pairs] if isinstance(pairs, PairSet) else pairs, progress), output, config)
    check_describable(run)
    chosen = device.select(device_name)
    if config.threads:
        torch.set_num_threads(config.threads)
    with (
        held(output),
        torch.random.fork_rng(),
        device.enough_memory(remedy),
        assisted(config.processes, _assist, run, chosen) as port,
        joined(config, chosen, port=port) as team,
    ):
        learner = Learner(config, run.palette, team)
        course = _begin(run, learner, overwrite, progress)
        team.wait()
        at = course.step, run.steps_per_epoch
        with watched(output, learner.players, *at, chosen, progress, tensorboard=tensorboard) as told:
            try:
                _train_epochs(run, learner, course, told)
            except Cancelled:
                _save(run, learner, course)
                raise
        model = _finish(run, learner, course, progress)
        write_report(output)
        return model


def _assist(rank: int, port: int, run: Run, chosen: torch.device) -> None:
    """Train beside the first process, from the checkpoint that it has just read or written."""
    if run.config.threads:
        torch.set_num_threads(run.config.threads)
    with joined(run.config, chosen, rank, port) as team, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first process warns
        learner = Learner(run.config, run.palette, team)
        team.wait()
        found = checkpoint.load_latest(run.checkpoints)
        assert found is not None, "the first process saves before it comes here"
        course = _check_same_run(run, learner, found)
        learner.restore(found.tensors)
        _train_epochs(run, learner, course, silent)


def _train_epochs(run: Run, learner: Learner, course: _Course, progress: Progress) -> None:
    """All steps that are left, of the process's part of every batch."""
    batches = run.batches(course.step, run.steps, learner.team.rank, learner.team.count)
    while course.epoch < run.config.epochs:
        left = (course.epoch + 1) * run.steps_per_epoch - course.step
        _train_epoch(run, learner, course, islice(batches, left), progress)
        if learner.team.leads:
            _finish_epoch(run, learner, course, progress)
        else:
            course.epoch += 1


def _begin(run: Run, learner: Learner, overwrite: bool, progress: Progress) -> _Course:
    """Continue from the newest checkpoint, or start anew."""
    records = [path for path in (run.output / name for name in RECORDS) if path.exists()]
    if overwrite:
        pictures = (path for pattern in PICTURES for path in run.output.glob(pattern))
        for path in (*records, *run.checkpoints.glob("*.safetensors"), *pictures):
            path.unlink()
    found = checkpoint.load_latest(run.checkpoints)
    if found is not None:
        course = _check_same_run(run, learner, found)
        learner.restore(found.tensors)
    elif records and not overwrite:
        raise OutputError(
            f"{run.output}: holds no checkpoints, but other files ({', '.join(path.name for path in records)}); choose "
            "another folder or overwrite it"
        )
    else:
        course = _Course()
        if run.config.generator.norm in ("frozen", "renorm") and not run.config.start_from:
            learner.calibrate(_sources(run, FIRST_CALIBRATION, progress))
        _save(run, learner, course)  # before anything else is written, so that the folder is known for a run's
    (run.output / "config.json").write_text(json.dumps(run.describe(), indent=1) + "\n", encoding="utf-8")
    (run.output / "config.toml").write_text(to_toml(run.config), encoding="utf-8", errors="replace")
    runlog.cut(run.output, course.step, course.epoch)
    if course.step == 0:
        logged = runlog.entries(run.output)
        if not any("shares" in entry for entry in logged) and (found_shares := shares(run)):
            runlog.append(run.output, {"step": 0, "epoch": 0, "shares": found_shares})
        _warn(run, course, logged, alarms.monotonous(variants(run)))
        _warn(run, course, logged, alarms.misaligned(list(offsets(run, progress))))
    return course


def _check_same_run(run: Run, learner: Learner, found: checkpoint.Checkpoint) -> _Course:
    """How far the run has come that a checkpoint belongs to, if it is this one."""
    match found.state:
        case {
            "run": dict(),
            "engine": dict(),
            "course": {"step": int(step), "epoch": int(epoch), "best": float() | None as best, **unknown},
        } if not unknown:
            pass
        case _:
            raise CheckpointError(
                f"{run.checkpoints}: were not written by this version's training; choose another folder or overwrite it"
            )
    if changed := _differences(found.state["run"], run.describe()):
        raise ConfigError(
            f"{run.output}: holds a run with other options ({'; '.join(changed)}); choose another output folder, "
            "repeat the options, or overwrite the run"
        )
    if changed := _differences(found.state["engine"], learner.engine):
        warnings.warn(
            f"{run.output}: continued on another engine ({'; '.join(changed)}); the result will not be the one that an "
            "undisturbed run would have reached",
            TrainingWarning,
            stacklevel=4,
        )
    return _Course(step, epoch, best)


def _differences(old: object, new: object, where: str = "") -> list[str]:
    """What differs between two JSON values, one phrase per place."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [text for key in keys for text in _differences(old.get(key), new.get(key), f"{where}.{key}".strip("."))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            text for i, both in enumerate(zip(old, new, strict=True)) for text in _differences(*both, f"{where}[{i}]")
        ]
    return [] if old == new else [f"{where} was {old!r}, is {new!r}"]


def _train_epoch(run: Run, learner: Learner, course: _Course, batches: Iterable[Item], progress: Progress) -> None:
    """Take the steps of the current epoch that are left."""
    config, saved = run.config, time.monotonic()
    for batch in batches:
        torch.manual_seed(_step_seed(config.seed, course.step, learner.team.rank))
        try:
            pace = _pace(run, course)
            values = {"rate": config.learning_rate * pace.rate, **learner.step(batch, pace, course.step)}
        except TrainingError as error:
            raise TrainingError(_remedy(run, course, error)) from error
        course.step += 1
        if not learner.team.leads:
            continue
        runlog.append(run.output, {"step": course.step, "epoch": course.epoch + 1, **values})
        progress(Event("train", course.step, run.steps, "steps", values))
        if time.monotonic() - saved > 60 * config.checkpoint_minutes:
            _save(run, learner, course)
            saved = time.monotonic()


def _pace(run: Run, course: _Course) -> Pace:
    config = run.config
    return Pace(
        rate=_rate(course.step / run.steps, config.decay),
        encoder=course.epoch >= config.freeze_encoder,
        adversary=course.epoch >= config.warm_up,
    )


def _rate(done: float, decay: float) -> float:
    """The factor on the learning rates after the share `done` of a run: constant, then falling linearly to zero."""
    return min(1.0, (1 - done) / decay) if decay else 1.0


def _step_seed(seed: int, step: int, rank: int) -> int:
    """The seed for all that is random within one step, such as dropout, on one of the processes."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _remedy(run: Run, course: _Course, error: TrainingError) -> str:
    kept = checkpoint.numbered(run.checkpoints)
    return (
        f"{run.output}: step {course.step + 1} gave {error}; the last good checkpoint is "
        f"{kept[-1].name if kept else 'none'}; train with a lower learning rate, or check the values in the pictures"
    )


def _finish_epoch(run: Run, learner: Learner, course: _Course, progress: Progress) -> None:
    """Judge the model, draw samples, keep the weights if they are the best so far, and save the run."""
    epoch, figures = course.epoch + 1, scores(run, learner, progress)
    write_samples(run.output / "samples" / f"epoch-{epoch:04d}.png", run, learner)
    if figures:
        runlog.append(run.output, {"step": course.step, "epoch": epoch, "validation": figures})
        score = figures.get("score", -math.inf)
        if score > (-math.inf if course.best is None else course.best):
            course.best = score
            checkpoint.write(_best(run), networks.weights(learner.model), {"epoch": epoch, "score": course.best})
    course.epoch = epoch
    logged = runlog.entries(run.output)
    _warn(run, course, logged, alarms.raised(logged, run.config.adversary))
    _save(run, learner, course)
    progress(Event("validate", epoch, run.config.epochs, "epochs", figures))


def _finish(run: Run, learner: Learner, course: _Course, progress: Progress) -> Path:
    """Write the model file."""
    epoch = course.epoch
    if run.config.keep == "best" and course.best is not None:
        kept = checkpoint.read(_best(run))
        learner.model.load_state_dict(kept.tensors, strict=False)  # it holds no batch counters, which nothing reads
        epoch = kept.state["epoch"]
    if run.config.generator.norm == "batch":
        learner.calibrate(_sources(run, LAST_CALIBRATION, progress))
    return write_trained(run, learner.model, course.step, epoch)


def _sources(run: Run, count: int, progress: Progress) -> Iterator[Tensor]:
    """The sources of the first batches of the run, on which statistics are measured."""
    for number, batch in enumerate(run.batches(0, count), start=1):
        yield batch["source"]
        progress(Event("calibrate", number, count, "batches"))


def _best(run: Run) -> Path:
    return run.checkpoints / "best.safetensors"


def _save(run: Run, learner: Learner, course: _Course) -> None:
    state = {"run": run.describe(), "engine": learner.engine, "course": dataclasses.asdict(course)}
    checkpoint.save(run.checkpoints, course.step, learner.tensors(), state)


def _warn(run: Run, course: _Course, logged: Entries, found: Iterable[TrainingWarning]) -> None:
    """Warn of what was not warned of before in this run, whose log is given, and log it."""
    known = {entry["alarm"] for entry in logged if "alarm" in entry}
    for alarm in found:
        if (kind := type(alarm).__name__) not in known:
            line = {"step": course.step, "epoch": course.epoch, "alarm": kind, "message": str(alarm)}
            runlog.append(run.output, line)
            warnings.warn(alarm, stacklevel=4)
