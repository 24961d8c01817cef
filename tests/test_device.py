"""Devices by name."""

import pytest
import torch

from geopix2pix import device
from geopix2pix.errors import ConfigError


def test_the_cpu_is_always_there_and_auto_is_always_something():
    assert device.select("cpu").type == "cpu"
    torch.zeros(1, device=device.select("auto"))


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99999"])
def test_unknown_devices_are_refused(name):
    with pytest.raises(ConfigError, match="auto, cpu, cuda, mps"):
        device.select(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_is_selected_where_it_is_there_and_refused_with_the_remedy_where_not(name):
    there = torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()
    if there:
        assert device.select(name).type == name
    else:
        with pytest.raises(ConfigError, match=f"{name}.*only.*cpu"):
            device.select(name)


def test_too_little_memory_is_for_users_to_mend():
    with pytest.raises(ConfigError, match="memory is not enough; give less"), device.enough_memory("give less"):
        torch.empty(2**60)
    for error in (torch.cuda.OutOfMemoryError("CUDA"), RuntimeError("MPS backend out of memory"), MemoryError()):
        with pytest.raises(ConfigError, match="give less"), device.enough_memory("give less"):
            raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size of tensor"), device.enough_memory("give less"):
        torch.zeros(2) + torch.zeros(3)


def test_the_description_names_torch_and_every_device():
    facts = device.describe()
    assert facts["torch"] == torch.__version__
    assert "cpu" in facts["devices"]
