"""Filling a cache with the tiles of a server, several at a time, so that whoever reads them needs no network."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import NamedTuple

import mercantile

from geopix2pix.errors import DownloadError, RasterError
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.webtiles.download import FinalError, Network, Server
from geopix2pix.webtiles.pyramids import TileCache
from geopix2pix.webtiles.tilepicture import decoded

BEAT = 0.5  # seconds between two looks at whether the work shall stop, while no answer comes
AHEAD = 2  # requests for each that is under way: so many answers are in memory at most

Answer = tuple[mercantile.Tile, bytes | Exception]
"""A tile with its picture, no bytes where the server has none; or with what went wrong."""


class Fetched(NamedTuple):
    """What became of tiles that were asked for."""

    new: int
    kept: int
    """In the cache already."""
    absent: int
    """That the server does not have, or did not have when it was asked before."""


def fill(cache: TileCache, tiles: Iterable[mercantile.Tile], network: Network, progress: Progress = silent) -> Fetched:
    """Have all of the `tiles` in the cache: fetch those that are not there, or not whole.

    Whatever ends it, the cache holds whole tiles, and a further call goes on from there.

    Raises:
        DownloadError: the server does not send some of them; all others are fetched first, unless it fails often.
        ConfigError: the provider prohibits it, or the package urllib3 is not installed.
        OutputError: the cache cannot be written.
    """
    wanted = sorted(set(tiles), key=lambda tile: (tile.z, tile.x, tile.y))
    states: list[str] = []

    def tell() -> None:
        progress(Event("download", len(states), len(wanted), "tiles"))

    missing = []
    for tile in wanted:
        if state := _state(cache, tile):
            states.append(state)
            tell()
        else:
            missing.append(tile)
    if missing:
        with (
            closing(Server(cache.address, network)) as server,
            closing(_answers(server, missing, network, tell)) as rest,
        ):
            for state in _kept(cache, rest, len(missing), network.failures):
                states.append(state)
                tell()
    return Fetched(states.count("new"), states.count("kept"), states.count("absent"))


def _state(cache: TileCache, tile: mercantile.Tile) -> str:
    """What is known of a tile without asking for it: "kept", "absent", or nothing."""
    try:
        data = cache.kept(tile)
        if data:
            decoded(data, cache.name)
    except RasterError:
        return ""
    return "" if data is None else "kept" if data else "absent"


def _kept(cache: TileCache, answers: Iterable[Answer], total: int, limit: int) -> Iterator[str]:
    """Put answers into the cache: "new" or "absent" for each, once it is there.

    Raises:
        DownloadError: `limit` answers in a row, or any at the end, were none.
    """
    host, failed, in_a_row = cache.address.host, [], 0
    for tile, answer in answers:
        if isinstance(answer, bytes):
            cache.keep(tile, answer)
            in_a_row = 0
            yield "new" if answer else "absent"
            continue
        if isinstance(answer, FinalError) or not isinstance(answer, DownloadError):
            raise answer
        failed.append(answer)
        in_a_row += 1
        if in_a_row >= limit:
            raise DownloadError(f"{host}: {in_a_row} tiles in a row were not sent, the last one from {answer}")
    if failed:
        what = f"{len(failed)} of {total} tiles were not sent, all others are kept"
        raise DownloadError(f"{host}: {what}; the first one is {failed[0]}")


def _answers(
    server: Server, tiles: Sequence[mercantile.Tile], network: Network, idle: Callable[[], None]
) -> Generator[Answer, None, None]:
    """The answers to requests for tiles, in the order in which they come; `idle` is called while none does.

    The threads end with the program, whatever they wait for.
    """
    tasks: SimpleQueue[mercantile.Tile | None] = SimpleQueue()
    answers: SimpleQueue[Answer] = SimpleQueue()
    for _ in range(network.parallel):
        Thread(target=_work, args=(server, tasks, answers), daemon=True).start()
    rest, waiting, heard = iter(tiles), 0, monotonic()
    patience = (network.retries + 1) * (network.total + network.longest_pause)
    try:
        while True:
            for tile in islice(rest, AHEAD * network.parallel - waiting):
                tasks.put(tile)
                waiting += 1
            if not waiting:
                return
            try:
                answer = answers.get(timeout=BEAT)
            except Empty:
                if monotonic() - heard > patience:  # it sends the head of an answer byte by byte, without an end
                    raise DownloadError(
                        f"{server.name}: nothing has come for {patience:.0f} s; try again later"
                    ) from None
                idle()
                continue
            heard, waiting = monotonic(), waiting - 1
            yield answer
    finally:
        for _ in range(network.parallel):
            tasks.put(None)
        server.close()


def _work(server: Server, tasks: "SimpleQueue[mercantile.Tile | None]", answers: "SimpleQueue[Answer]") -> None:
    """Fetch tiles until None comes."""
    while (tile := tasks.get()) is not None:
        try:
            answers.put((tile, server.fetch(tile)))
        except Exception as error:  # told by whoever asked
            answers.put((tile, error))
