"""What windows leave for those below them is in a file what it is in memory, and only the whole of it is believed."""

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopix2pix.blend import HeldCarry
from geopix2pix.carry import StoredCarry
from geopix2pix.errors import OutputError

ROWS, COLUMNS = 3, 4


def band(column: int, row: int) -> np.ndarray:
    """What the window of a column and row leaves: values that tell both, and bands that are not all of one width."""
    return np.full((2, 3, 7 - 2 * column if column < 3 else 0), 10 * row + column, np.float32)


def filled(folder: Path, rows: int = 1) -> tuple[StoredCarry, str | None]:
    """A carry of some rows, and the checksum of what the last one left."""
    carry = StoredCarry(folder)
    for row, column in product(range(rows), range(COLUMNS)):
        carry.leave(column, row, band(column, row))
    return carry, carry.kept(rows)


def test_what_is_left_in_files_is_what_is_left_in_memory(tmp_path: Path) -> None:
    stored, held = StoredCarry(tmp_path), HeldCarry()
    for row, column in product(range(ROWS), range(COLUMNS)):
        found, expected = (carry.take(column, row) for carry in (stored, held))
        assert (found is None) == (expected is None) == (row == 0)
        if found is not None and expected is not None:
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
        for carry in (stored, held):
            carry.leave(column, row, band(column, row))


def test_a_row_is_kept_and_forgotten_while_the_next_ones_are_left(tmp_path: Path) -> None:
    carry, _ = filled(tmp_path, rows=2)
    assert carry.kept(2)
    carry.leave(0, 2, band(0, 2))
    carry.forget(1)
    assert [carry.holds(row) for row in range(5)] == [False, False, True, True, False]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["carry-00002.npy", "carry-00003.npy"]
    assert [carry.take(column, 2)[0, 0, 0] for column in range(3)] == [10, 11, 12]  # type: ignore[index]
    assert carry.take(0, 1) is None
    assert carry.kept(1) is None


def test_a_row_that_is_left_again_replaces_what_was_left(tmp_path: Path) -> None:
    """As when a run computes a row again whose file was lost, and is stopped in the middle of it."""
    carry, checksum = filled(tmp_path)
    carry.leave(0, 0, band(0, 5))
    assert carry.kept(1) != checksum
    assert filled(tmp_path)[1] == checksum


@given(data=st.data())
def test_only_the_whole_of_a_file_is_believed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("carry")
    carry, checksum = filled(folder)
    content = carry.file(1).read_bytes()
    kept = data.draw(st.integers(0, len(content)))
    more = data.draw(st.sampled_from([b"", bytes(len(content) - kept), b"\0"]))
    carry.file(1).write_bytes(content[:kept] + more)
    again = StoredCarry(folder)
    again.recover(1, checksum)
    assert again.holds(1) == (content[:kept] + more == content)
    assert again.take(0, 1) is None or np.array_equal(again.take(0, 1), band(0, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize("checksum", [None, "", "0" * 64])
def test_what_no_journal_tells_of_is_not_believed(tmp_path: Path, checksum: str | None) -> None:
    filled(tmp_path)
    for row in (1, 2):  # a file of which it tells otherwise, and one that is not there
        carry = StoredCarry(tmp_path)
        carry.recover(row, checksum)
        assert not carry.holds(row)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_noticed_with_the_band_that_it_cuts_off(tmp_path: Path) -> None:
    carry = StoredCarry(tmp_path)
    carry.file(1).symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"carry-00001\.npy: cannot be written: No space left"):
        carry.leave(0, 0, band(0, 0))


def test_a_file_that_disappears_is_not_taken_for_nothing(tmp_path: Path) -> None:
    carry, _ = filled(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(OutputError, match=r"carry-00001\.npy"):
        carry.take(0, 1)
