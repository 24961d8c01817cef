"""Memory: scenes several times as wide or as high are translated in what a small one needs, the COG included."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scenes import picture, repeated, tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process"),
]


def test_peak_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    model, tile = tiny_model(tmp_path / "tiny.onnx"), picture(tmp_path)
    peaks = []
    for size in ((3000, 2000), (15000, 2000), (3000, 12000)):  # all have windows of full size
        given = [str(repeated(tmp_path, tile, *size)), str(tmp_path / "map.tif"), str(model), "onnxruntime"]
        # In a process of its own: its peak is told by VmHWM, which begins anew with each program.
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", "--watch", *given]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
        peaks.append(int(done.stdout.split()[0]))
        (tmp_path / "map.tif").unlink()
    assert max(peaks) < 1.1 * min(peaks), f"{peaks} MiB"
