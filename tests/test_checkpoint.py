"""Checkpoints: what is written comes back, damage is noticed, and nothing in between is ever seen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from geopix2pix import checkpoint
from geopix2pix.errors import CheckpointError, OutputError, TrainingWarning

STATE = {"step": 7, "score": 0.5, "names": ["land", "Straße"]}


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.full((2, 3, 4, 4), value).to(memory_format=torch.channels_last), "b": torch.tensor(3)}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 7, tensors(), STATE)
    found = checkpoint.load_latest(tmp_path)
    assert found is not None
    assert found.state == STATE
    assert found.tensors.keys() == tensors().keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors().items())


def test_an_empty_or_missing_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load_latest(tmp_path) is None
    assert checkpoint.load_latest(tmp_path / "missing") is None


def test_only_the_newest_are_kept_and_others_are_left_alone(tmp_path: Path) -> None:
    best, foreign = tmp_path / "best.safetensors", tmp_path / "step-of-mine.safetensors"
    checkpoint.write(best, tensors(), {})
    foreign.touch()
    for step in (9, 10, 100):
        checkpoint.save(tmp_path, step, tensors(step), {"step": step}, keep=2)
    assert [path.name for path in checkpoint.numbered(tmp_path)] == [f"step-{n:09d}.safetensors" for n in (10, 100)]
    assert best.exists() and foreign.exists()
    newest = checkpoint.load_latest(tmp_path)
    assert newest is not None and newest.state == {"step": 100}
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_skipped_with_a_warning(tmp_path: Path, size: int) -> None:
    checkpoint.save(tmp_path, 1, tensors(1), {"step": 1})
    damaged = checkpoint.save(tmp_path, 2, tensors(2), {"step": 2})
    damaged.write_bytes(damaged.read_bytes()[:size])
    with pytest.warns(TrainingWarning, match=damaged.name):
        found = checkpoint.load_latest(tmp_path)
    assert found is not None and found.state == {"step": 1}


def test_a_folder_of_damaged_checkpoints_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, tensors(), {}).write_bytes(b"")
    with pytest.warns(TrainingWarning), pytest.raises(CheckpointError, match="overwrite"):
        checkpoint.load_latest(tmp_path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.read(path)


def test_safetensors_of_another_origin_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "step-000000001.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError):
        checkpoint.read(path)


@pytest.mark.parametrize("state", [[1, 2], 7, None])
def test_a_state_that_is_no_object_is_refused(tmp_path: Path, state: Any) -> None:
    path = checkpoint.save(tmp_path, 1, tensors(), state)
    with pytest.raises(CheckpointError, match="no JSON object"):
        checkpoint.read(path)


def test_a_failed_write_leaves_the_old_checkpoint_and_no_rest(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, tensors(), {"step": 1})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.write(path, tensors(2), {"step": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        checkpoint.save(tmp_path / "file" / "checkpoints", 1, tensors(), {})


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3))
    groups = [{"params": module[0].parameters(), "factor": 0.5}, {"params": module[1].parameters(), "factor": 1.0}]
    return module, torch.optim.Adam(groups, lr=1e-2)


def learn(module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (module(torch.ones(1, 1, 8, 8)) - 1).square().mean().backward()
        optimizer.step()


def test_an_optimizer_goes_on_as_if_undisturbed(tmp_path: Path) -> None:
    module, optimizer = network()
    learn(module, optimizer, 3)
    state = {f"n.{k}": v for k, v in module.state_dict().items()} | checkpoint.optimizer_tensors(optimizer, "o")
    checkpoint.save(tmp_path, 3, state, {})
    learn(module, optimizer, 3)

    other, fresh = network()
    found = checkpoint.load_latest(tmp_path)
    assert found is not None
    other.load_state_dict({k.removeprefix("n."): v for k, v in found.tensors.items() if k.startswith("n.")})
    checkpoint.restore_optimizer(fresh, found.tensors, "o")
    assert [group["factor"] for group in fresh.param_groups] == [0.5, 1.0]
    learn(other, fresh, 3)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_what_a_kill_left_is_cleared_away(tmp_path):
    for name in (".step-000000001.safetensors.17.tmp", ".tmpA1b2C3"):
        (tmp_path / name).write_bytes(b"half")
    checkpoint.save(tmp_path, 2, {"a": torch.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002.safetensors"]
