"""A training run as a value: what it learns from, how, and where it is kept."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from torch.utils.data import DataLoader

from geopix2pix.child import leave_group
from geopix2pix.configuration import WITHOUT_EFFECT, TrainingConfig
from geopix2pix.dataset import Item, PairedTiles, StillTiles, scaling_of
from geopix2pix.errors import ConfigError, GeoPix2PixError, OutputError, PairsError
from geopix2pix.normalize import Scaling
from geopix2pix.pair import PairSet, check_mixable
from geopix2pix.palette import Palette


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything about a run that stays the same while it trains."""

    sets: Sequence[PairSet]
    config: TrainingConfig
    output: Path
    palette: Palette | None
    """Of the palette head."""
    source: Scaling
    target: Scaling | None
    """Of the raster head."""
    training: PairedTiles
    validation: StillTiles

    @classmethod
    def of(cls, sets: Sequence[PairSet], output: Path, config: TrainingConfig) -> "Run":
        """The run of `config` on the pairs.

        Raises:
            PairsError: the sets cannot be mixed, or a picture cannot be read or says nothing.
            ConfigError: the generator does not fit the pairs.
        """
        check_mixable(sets)
        first, generator = sets[0], config.generator
        palette = first.palette if generator.head == "palette" else None
        if generator.head == "palette" and palette is None:
            raise ConfigError(
                f"{first.name}: the palette head needs a palette.json in the folder; add one or use the raster head"
            )
        needed = len(first.source.names), len(palette.classes) if palette else len(first.target.names)
        if (generator.in_bands, generator.out_channels) != needed:
            raise ConfigError(
                f"{first.name}: the pairs lead from {needed[0]} bands to {needed[1]} bands or classes, the generator "
                f"from {generator.in_bands} to {generator.out_channels}; fit it to the pairs"
            )
        source, target = scaling_of(sets, "source"), None if palette else scaling_of(sets, "target")
        return cls(
            sets=sets,
            config=config,
            output=output,
            palette=palette,
            source=source,
            target=target,
            training=PairedTiles(sets, config, source, target),
            validation=StillTiles(sets, config, source, target),
        )

    @property
    def steps_per_epoch(self) -> int:
        images = self.config.images_per_epoch or sum(len(s.train) for s in self.sets)
        return max(1, images // self.config.batch)

    @property
    def steps(self) -> int:
        return self.config.epochs * self.steps_per_epoch

    @property
    def checkpoints(self) -> Path:
        return self.output / "checkpoints"

    def describe(self) -> dict[str, Any]:
        """What must be the same for a run to be continued."""
        config = {name: value for name, value in self.config.to_json().items() if name not in WITHOUT_EFFECT}
        return {
            "config": config,
            "pairs": [s.describe() for s in self.sets],
            "scaling": [scaling.to_json() if scaling else None for scaling in (self.source, self.target)],
        }

    def batches(self, first: int, last: int, part: int = 0, parts: int = 1) -> Iterator[Item]:
        """The training batches of the steps from `first` to before `last`; of each that part, of so many."""
        size = self.config.batch // parts
        starts = range((first * parts + part) * size, last * self.config.batch, self.config.batch)
        numbers = (number for start in starts for number in range(start, start + size))
        return self._loaded(self.training, size, numbers)

    def validation_batches(self) -> Iterator[Item]:
        """All crops by which the model is judged."""
        return self._loaded(self.validation, self.config.batch)

    def _loaded(
        self, tiles: PairedTiles | StillTiles, size: int, numbers: Iterable[int] | None = None
    ) -> Iterator[Item]:
        """Batches of a size of the crops with those numbers, or of all, made by the workers if there are any."""
        workers = self.config.workers
        return _plainly(DataLoader(tiles, size, sampler=numbers, num_workers=workers, worker_init_fn=leave_group))


def _plainly(batches: Iterable[Item]) -> Iterator[Item]:
    """The batches, without the traceback that loading processes put before an error's message."""
    try:
        yield from batches
    except PairsError as error:
        message = str(error).splitlines()[-1]
        raise PairsError(message.removeprefix(f"{PairsError.__module__}.{PairsError.__name__}: ")) from error


@contextmanager
def held(output: Path) -> Iterator[None]:
    """Hold the run folder, made if need be, for this process alone.

    Raises:
        ConfigError: another process holds it.
        OutputError: it cannot be made, or something in it cannot be written meanwhile.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(output / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise ConfigError(f"{output}: another process trains there; wait for it or choose another folder") from None
    except GeoPix2PixError:
        raise
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error}); choose another folder or free some space") from error
