"""Shard: which share of some work one of several machines does."""

import re
from typing import NamedTuple

from geopix2pix.errors import ConfigError
from geopix2pix.job import Job


class Shard(NamedTuple):
    """Share `number`, counted from 1, of `total`."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that is written as 2/4.

        Raises:
            ConfigError: it is no such text, or there is no such share.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.total:
            raise ConfigError(f"--shard {text}: is the number of a share and how many there are, from 1/4 to 4/4")
        return shard

    def of(self, length: int) -> range:
        """What this share has of so many things in a row. All shares make up the whole, of nearly equal size."""
        return range(length * (self.number - 1) // self.total, length * self.number // self.total)

    def rows(self, job: Job) -> range:
        """The rows of windows of a job that `translation.run` is to compute for this share.

        Raises:
            ConfigError: there are fewer rows than shares, or the job leaves the number of threads to each machine.
        """
        called = f"--shard {self.number}/{self.total}"
        if job.threads is None:
            raise ConfigError(
                f"{called}: say --threads, the same for all shares: the bytes of a result depend on their number, and "
                "each machine would choose its own"
            )
        if self.total > job.grid.rows:
            raise ConfigError(
                f"{called}: {job.source} has {job.grid.rows} rows of windows, which can be shared by that many; make "
                f"{job.grid.rows} shares or fewer"
            )
        return self.of(job.grid.rows)

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"
