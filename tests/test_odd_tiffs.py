"""Hundreds of strange, damaged and hostile files: each is translated or refused, in little time and memory."""

import multiprocessing
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import rasterio

from geopix2pix import translate
from geopix2pix.errors import GeoPix2PixError, SceneError
from geopix2pix.manifest import GroundResolution
from geopix2pix.model import ModelFile, write_model
from tests.rasters import DATA

FILES = DATA / "odd-tiffs"
SECONDS = 10.0
MEMORY = 2 * 2**30  # resident bytes
MAX_PIXELS = 2**22  # some of the files are small on disk and announce 10^14 pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.skipif(not FILES.is_dir(), reason="the odd files are not beside this checkout"),
]


def attempt(path: Path, model: Path) -> str | None:
    """None if a file can be translated, else why not, in the words of the error.

    What is no picture of three 8-bit bands is translated through its first band, as a user is told to.
    """
    as_told = {"bands": (1, 1, 1), "scaling": "scene"}
    for arguments in ({}, as_told):
        with TemporaryDirectory() as folder:
            output = Path(folder) / "map.tif"
            try:
                translate(path, output, model=model, threads=1, max_pixels=MAX_PIXELS, **arguments)
                with rasterio.open(output) as dataset:
                    dataset.read()
                return None
            except SceneError as error:
                reason = f"{type(error).__name__}: {error}"
            except GeoPix2PixError as error:
                return f"{type(error).__name__}: {error}"
            finally:
                # Of a source that fails in the middle finished rows are kept, as when its drive goes away.
                left = ([], [output.name], [f"{output.name}.part"])
                assert [file.name for file in Path(folder).iterdir()] in left, "something was left behind"
    return reason


def serve(connection: Connection, work: Callable[[Path], str | None]) -> None:
    """Answer each path that arrives with ("done", the result) or ("raised", what should not have been)."""
    warnings.simplefilter("ignore")
    while True:
        path = connection.recv()
        try:
            connection.send(("done", work(path)))
        except Exception as error:
            connection.send(("raised", f"{type(error).__name__}: {error}"))


@contextmanager
def worker(work: Callable[[Path], str | None]) -> Iterator[Callable[[Path], tuple[str, str | None]]]:
    """A function that does `work` on a path in another process and says how that ended.

    The process is ended and replaced when it takes too long or too much memory, or dies.
    """
    context = multiprocessing.get_context("spawn")
    running: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, work), daemon=True)
        process.start()
        theirs.close()
        running[:] = [(process, ours)]

    def stop() -> None:
        process, connection = running[0]
        process.kill()
        process.join()
        connection.close()

    def ask(path: Path) -> tuple[str, str | None]:
        process, connection = running[0]
        connection.send(path)
        resident, deadline = psutil.Process(process.pid), time.monotonic() + SECONDS
        while not connection.poll(0.02):
            taken = resident.memory_info().rss if process.is_alive() else 0
            if time.monotonic() > deadline or taken > MEMORY:
                stop()
                start()
                return ("memory", f"{taken >> 20} MiB") if taken > MEMORY else ("time", f"{SECONDS} s")
        try:
            return connection.recv()
        except EOFError:
            stop()
            start()
            return "crash", f"exit code {process.exitcode}"

    start()
    try:
        yield ask
    finally:
        stop()


@pytest.fixture
def any_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A model that says nothing of ground resolutions, so that none is a reason to refuse a file."""
    loaded = ModelFile.load(tiny_model)
    manifest = replace(loaded.manifest, ground_resolution=GroundResolution())
    write_model(tmp_path / "any.safetensors", manifest, loaded.weights)
    return tmp_path / "any.safetensors"


def test_every_odd_file_is_translated_or_refused_with_a_reason(any_model: Path) -> None:
    files = sorted(file for file in FILES.rglob("*") if file.is_file())
    with worker(partial(attempt, model=any_model)) as ask:
        endings = {file: ask(file) for file in files}
    refused = {file: reason for file, (how, reason) in endings.items() if how == "done" and reason is not None}
    kinds = Counter(kind(reason) for reason in refused.values())
    print(f"\n{len(files)} files: {len(files) - len(refused)} translated, {len(refused)} refused")
    for reason, count in kinds.most_common():
        print(f"{count:5} {reason}")
    wrong = {str(file.relative_to(FILES)): ending for file, ending in endings.items() if ending[0] != "done"}
    assert not wrong
    assert all("\n" not in reason and file.name in reason for file, reason in refused.items())
    assert len(files) - len(refused) > 300


def kind(reason: str) -> str:
    """The class of a reason: its error and what failed, without names and numbers."""
    error, _, what = reason.split(": ")[:3]
    return f"{error}: " + " ".join(word for word in what.split(";")[0].split() if not any(c.isdigit() for c in word))
