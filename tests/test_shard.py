"""Work in shares is the work as a whole: every share a part, all together the same bytes, and nothing that is not."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from geopix2pix.errors import ConfigError
from geopix2pix.estimate import PROBED, estimated, probed
from geopix2pix.planning import planned
from geopix2pix.progress import Event
from geopix2pix.shard import Shard
from geopix2pix.translation import engine_of
from tests.rasters import l_shape
from tests.test_job import random_scene


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# Shares


@given(total=st.integers(1, 40), length=st.integers(0, 200))
def test_shares_are_a_partition_into_nearly_equal_parts(total: int, length: int) -> None:
    shares = [Shard(number, total).of(length) for number in range(1, total + 1)]
    assert [thing for share in shares for thing in share] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(number=st.integers(1, 999), more=st.integers(0, 999))
def test_a_shard_is_what_is_written(number: int, more: int) -> None:
    shard = Shard(number, number + more)
    assert Shard.parse(str(shard)) == shard


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", " 1/4", "\u0661/\u0664", "1/99999999"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        Shard.parse(text)


def test_shares_need_threads_and_rows(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    with pytest.raises(ConfigError, match="say --threads"):
        Shard(1, 2).rows(planned(source, tmp_path / "out.tif", model=tiny_model))
    job = planned(source, tmp_path / "out.tif", model=tiny_model, threads=1)
    with pytest.raises(ConfigError, match=f"make {job.grid.rows} shares or fewer"):
        Shard(1, job.grid.rows + 1).rows(job)


def test_commands_in_shares_make_the_bytes_of_one(palette_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif", mask=l_shape(300, 260))
    names = ("out.tif", "classes.tif", "polygons.gpkg", "seen.png")
    whole, shared = tmp_path / "whole", tmp_path / "shared"

    def request(folder: Path) -> list[str | Path]:
        folder.mkdir(exist_ok=True)
        options = ["--classes", folder / names[1], "--vector", folder / names[2], "--preview", folder / names[3]]
        return [source, folder / names[0], *options, "--model", palette_model, "--threads", "1"]

    assert run("translate", *request(whole)).exit_code == 0
    for number in (3, 1, 2):
        result = run("translate", *request(shared), "--shard", f"{number}/3")
        assert result.exit_code == 0, result.output
        assert Path(result.stdout.strip()).is_dir()
        assert not [name for name in names if (shared / name).exists()]
    result = run("merge", *request(shared))
    assert (result.exit_code, result.stdout) == (0, f"{shared / names[0]}\n"), result.output
    for path in whole.iterdir():
        assert (shared / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(p.name for p in shared.iterdir()) == sorted(p.name for p in whole.iterdir())


def shards(folder: Path, model: Path) -> tuple[list[str | Path], list[Path]]:
    """What three shares were made of, and their folders."""
    source = random_scene(folder / "scene.tif")
    request = [source, folder / "out.tif", "--model", model, "--threads", "1"]
    made = [run("translate", *request, "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert [result.exit_code for result in made] == [0, 0, 0]
    return request, [Path(result.stdout.strip()) for result in made]


def refused(request: list[str | Path], *messages: str) -> None:
    """The merge fails in one line, and leaves the shares as they were."""
    result = run("merge", *request)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.output
    for message in messages:
        assert message in result.stderr
    assert not Path(request[1]).exists()


def test_missing_damaged_and_foreign_shares_are_told(tiny_model: Path, tmp_path: Path) -> None:
    request, (_, second, third) = shards(tmp_path, tiny_model)
    aside = tmp_path / "aside"
    shutil.move(second, aside)
    refused(request, "were not computed; run their shards first", "the first is 2")
    shutil.copytree(aside, second)
    part = sorted(third.glob("row-*.tif"))[-1]
    part.write_bytes(bytes(part.stat().st_size))
    refused(request, str(third), "is damaged or missing; remove it and run the shard again")
    shutil.rmtree(third)
    assert run("translate", *request, "--shard", "3/3").exit_code == 0
    (second / "journal.jsonl").write_text("{}\n")
    refused(request, str(second), "another result")
    shutil.rmtree(second)
    assert run("translate", *request, "--overlap", "24", "--shard", "2/3").exit_code == 0
    refused(request, "another result", "overlap")
    for folder in tmp_path.glob("out.tif.rows-*"):
        shutil.rmtree(folder)
    refused(request, "no shares of it lie beside it")


def test_a_share_of_a_copy_with_another_date_says_how_to_copy(tiny_model: Path, tmp_path: Path) -> None:
    request, (first, *_) = shards(tmp_path, tiny_model)
    shutil.rmtree(first)
    os.utime(request[0], ns=(0, 0))
    assert run("translate", *request, "--shard", "1/3").exit_code == 0
    refused(request, "parameters.source.files", "copy it with its times")


# Plans


def test_a_dry_run_writes_nothing_and_tells_all(palette_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif", mask=l_shape(300, 260))
    before = sorted(tmp_path.rglob("*"))
    request = ["translate", source, tmp_path / "out.tif", "--model", palette_model, "--threads", "1", "--dry-run"]
    text = run(*request)
    assert text.exit_code == 0, text.output
    for told in ("260 x 300 pixels, EPSG:32633", "windows", "time ", "memory ", "disk "):
        assert told in text.stdout
    result = run(*request, "--progress", "json")
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["event"], last["path"]) == ("result", None)
    needs = last["plan"]["estimate"]
    assert needs["windows"] == last["plan"]["windows"] == last["plan"]["rows"] * last["plan"]["columns"]
    grid = planned(source, tmp_path / "out.tif", model=palette_model).grid
    places = itertools.product(range(grid.columns), range(grid.rows))
    share = sum(seen.width * seen.height for seen in (grid.seen_at(*place) for place in places)) / grid.window**2
    assert needs["seconds"] == pytest.approx(share * needs["window_seconds"])
    assert share < needs["windows"], "windows at the border are smaller"
    assert needs["disk_bytes"] == last["plan"]["raw_bytes"] == 260 * 300 * 3
    assert needs["memory_bytes"] > last["plan"]["held_bytes"]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_refused_is_refused_in_a_dry_run(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"")
    for arguments in ([tmp_path / "out.tif"], [tmp_path / "new.tif", "--bands", "1"]):
        dry, wet = (run("translate", scene, *arguments, "--model", tiny_model, *more) for more in ([], ["--dry-run"]))
        assert (dry.exit_code, dry.output) == (wet.exit_code, wet.output) and dry.exit_code == 1


def test_only_valid_windows_are_tried(tiny_model: Path, tmp_path: Path) -> None:
    job = planned(random_scene(tmp_path / "a.tif"), tmp_path / "out.tif", model=tiny_model)
    engine, steps = engine_of(job), list[Event]()
    seconds = probed(job, engine, steps.append)
    assert seconds is not None and seconds > 0
    assert [step.done for step in steps] == list(range(1, PROBED + 2))
    empty = random_scene(tmp_path / "b.tif", mask=l_shape(300, 260) & False)
    job = planned(empty, tmp_path / "out.tif", model=tiny_model)
    assert probed(job, engine) is None
    assert estimated(job).seconds is None
