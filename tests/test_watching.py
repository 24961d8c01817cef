"""What a run shows: a page that is one file and tells what the folder holds, and a board without steps told twice."""

import json
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from geopix2pix.errors import Cancelled, ConfigError
from geopix2pix.pages.curves import LEFT, WIDTH, _ticks, curve
from geopix2pix.pages.phrases import duration
from geopix2pix.training import train
from geopix2pix.watching.history import History
from geopix2pix.watching.runpage import run_page, write_report
from tests.test_training import make_pairs, raster, stop_after, tiny

HOSTILE = '"><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, cancelled once in the second."""
    folder = tmp_path_factory.mktemp("watching")
    pairs = make_pairs(folder / "town")
    with pytest.raises(Cancelled):
        train(pairs, folder / "run", tiny(pairs), progress=stop_after("train", 6))
    train(pairs, folder / "run", tiny(pairs))
    return folder / "run"


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def text_of(page: bytes) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", page.decode()))


def test_the_history_is_that_of_the_log(run: Path) -> None:
    history = History.read(run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "generator" in line]
    assert history.losses()["generator"] == [(line["step"], line["generator"]) for line in steps]
    assert history.rates() == [(line["step"], line["rate"]) for line in steps]
    assert (history.steps, history.planned, history.finished) == (8, 8, True)
    scores = [line["validation"]["score"] for line in lines if "validation" in line]
    assert [score for _, score in history.figures()["score"]] == scores
    assert history.best == 1 + scores.index(max(scores))
    assert list(history.samples) == [1, 2]
    (shares,) = history.shares().values()
    assert sum(shares.values()) == pytest.approx(1) and list(shares) == ["land", "road", "water"]
    assert [entry["step"] for entry in history.times if "begun" in entry] == [0, 6]


def test_a_run_writes_its_page_and_the_command_the_same(run: Path, tmp_path: Path) -> None:
    at_its_end = (run / "report.html").read_bytes()
    result = CliRunner().invoke(main, ["report", str(run), "--output", str(tmp_path / "page.html")])
    assert result.output == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_bytes() == at_its_end == run_page(History.read(run))
    again = CliRunner().invoke(main, ["report", str(run), "--output", str(tmp_path / "page.html")])
    assert again.exit_code == 1 and "page.html" in again.stderr
    assert CliRunner().invoke(main, ["report", str(run)]).exit_code == 0


def test_the_page_tells_what_the_folder_holds(run: Path) -> None:
    page = (run / "report.html").read_bytes()
    said = text_of(page)
    for expected in ("Finished", "town", "None was raised", "mean iou", "discriminator", "images_per_epoch", "torch"):
        assert expected in said, expected
    assert page.count(b"<img") == 2 + len({1, History.read(run).best, 2})
    assert page.count(b'class="chart curve"') == len(History.read(run).losses()) + 1 + len(History.read(run).figures())


def test_the_page_asks_for_nothing_and_runs_nothing(copy: Path) -> None:
    about = json.loads((copy / "config.json").read_text())
    about["pairs"][0]["name"] = about["config"]["keep"] = HOSTILE
    (copy / "config.json").write_text(json.dumps(about))
    alarm = {"step": 3, "epoch": 1, "alarm": HOSTILE, "message": HOSTILE, HOSTILE: 1.0, "generator": 1.0}
    with (copy / "log.jsonl").open("a") as log:
        log.write(json.dumps(alarm) + "\n")
    page = run_page(History.read(copy)).decode()
    assert "default-src 'none'" in page and "<script>alert" not in page and HOSTILE in unescape(page)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_a_run_at_work_has_a_page_too(copy: Path) -> None:
    """From its first moment, without what came later, and while a line is being written."""
    (copy / "model.safetensors").unlink()
    whole = (copy / "log.jsonl").read_text()
    for length in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        (copy / "log.jsonl").write_text(whole[:length])
        assert "Not finished" in text_of(run_page(History.read(copy)))
    shutil.rmtree(copy / "samples")
    (copy / "times.jsonl").unlink()
    assert "Not finished" in text_of(run_page(History.read(copy)))


def test_a_run_of_pictures_without_classes_has_a_page(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "town")
    train(pairs, tmp_path / "run", raster(pairs, adversary="none", epochs=1))
    said = text_of((tmp_path / "run" / "report.html").read_bytes())
    assert "l1" in said and "Classes in" not in said


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"config": {"batch": 0}, "pairs": []}', "[" * 10**5])
def test_a_folder_that_is_no_run_is_told_in_one_line(copy: Path, content: str | None) -> None:
    (copy / "config.json").unlink()
    if content is not None:
        (copy / "config.json").write_text(content)
    with pytest.raises(ConfigError, match="holds no run that can be read"):
        write_report(copy)
    result = CliRunner().invoke(main, ["report", str(copy)])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "a bug" not in result.stderr


def test_a_damaged_sheet_is_told(copy: Path) -> None:
    (copy / "samples" / "epoch-0002.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"epoch-0002\.png: cannot be read"):
        write_report(copy)


# Curves.


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400))
def test_a_curve_lies_within_its_picture(values: list[float]) -> None:
    drawn = curve(list(enumerate(values, start=1)), "a", end=len(values), marked=1)
    (line,) = re.findall(r'd="M([^"]*)h0" class="line"', drawn)
    places = [tuple(map(float, place.split())) for place in line.split("L")]
    assert len(places) == min(len(values), 80)
    assert all(LEFT <= x <= WIDTH and 0 <= y <= 170 for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_few_and_span_the_range(low: float, span: float) -> None:
    ticks = _ticks(low, low + span)
    assert 2 <= len(ticks) <= 7 and ticks == sorted(set(ticks))
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step and low + span <= ticks[-1] + 1e-6 * step


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (99, "99 s"), (600, "10 min"), (7260, "2 h 01 min")])
def test_times_are_told_as_people_read_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# TensorBoard.


def test_a_board_that_goes_on_tells_no_step_twice(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pairs = make_pairs(tmp_path / "town")
    for moment in (("train", 2), ("judge", 1), ("validate", 1), ("train", 7)):
        with pytest.raises(Cancelled):
            train(
                pairs, tmp_path / "run", tiny(pairs), tensorboard=moment != ("train", 2), progress=stop_after(*moment)
            )
    train(pairs, tmp_path / "run", tiny(pairs), tensorboard=True)
    shown = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"), {"images": 0, "histograms": 0})
    shown.Reload()
    history, tags = History.read(tmp_path / "run"), shown.Tags()
    for name, points in history.losses().items():
        found = [(event.step, event.value) for event in shown.Scalars(f"train/{name}")]
        assert found == [(step, pytest.approx(value)) for step, value in points], name
    assert [event.step for event in shown.Scalars("validate/score")] == [4, 8]
    assert [event.step for event in shown.Images("source, target, output")] == [4, 8]
    assert {name.partition("/")[0] for name in tags["histograms"]} == {
        "generator", "generator-gradient", "discriminator", "discriminator-gradient",
    }  # fmt: skip
    for name in tags["histograms"]:  # one that goes on at the end of an epoch knows no gradient there
        steps = [event.step for event in shown.Histograms(name)]
        assert steps == [4, 8] or ("-gradient/" in name and steps == [8]), name


def test_watching_changes_nothing(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pairs = make_pairs(tmp_path / "town")
    model = train(pairs, tmp_path / "run", tiny(pairs), tensorboard=True)
    assert model.read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_board_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    pairs = make_pairs(tmp_path / "town")
    with pytest.raises(ConfigError, match=r"not installed .*pip install 'geopix2pix\[train\]'"):
        train(pairs, tmp_path / "run", tiny(pairs), tensorboard=True)
