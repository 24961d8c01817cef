"""Peak memory of translations of several sizes: `python -m benchmarks.memory [SIDE | WIDTHxHEIGHT ...] [OPTIONS]`.

Scenes are mosaics of one deflate-tiled picture, or with `--strips` files in strips of one row. Each is translated by a
process of its own, with a tiny network, or with `--default` by the model in the package, once with each engine. Printed
is the most main memory that the process held (VmHWM of Linux), in all and stage by stage: `translate` is the loop over
windows, `assemble` the making of the COG and its comparison with the parts.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = ("4000", "16000", "64000")
DEFAULT_SIZES = ("4000",)


def peak() -> int:
    """The most main memory that this process held since it began, or since `forget`; MiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found, "only Linux tells the peak of a process"
    return int(found[1]) >> 10


def forget() -> None:
    """Let the peak begin at what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def watch(scene: str, output: str, model: str, engine: str) -> None:
    """Translate a scene in this process, and print what each stage took."""
    from geopix2pix import translate
    from geopix2pix.progress import Event

    peaks: dict[str, int] = {}
    stage = "plan"

    def progress(event: Event) -> None:
        nonlocal stage
        if event.stage != stage:
            peaks[stage] = peak()
            forget()
            stage = event.stage

    translate(scene, output, model=model or None, engine=engine or None, threads=2, progress=progress)
    peaks[stage] = peak()
    if engine == "onnxruntime":
        assert "torch" not in sys.modules, "ONNX Runtime needs no torch"
    print(max(peaks.values()), *(f"{name}={mib}" for name, mib in peaks.items()))


def measured(scene: Path, output: Path, model: Path | None, engine: str) -> int:
    """The peak of a process that translates `scene`, MiB, told on the way."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", "--watch"]
    begin = time.perf_counter()
    done = subprocess.run(
        [*command, str(scene), str(output), str(model or ""), engine], check=True, capture_output=True, text=True
    )
    most, *stages = done.stdout.split()
    seconds = time.perf_counter() - begin
    print(f"{scene.stem:12} {engine:12} {most:>5} MiB   {'  '.join(stages)}   {seconds:.0f} s", flush=True)
    output.unlink()
    return int(most)


def main(arguments: list[str]) -> None:
    """Measure the sizes that are asked for."""
    default = "--default" in arguments
    asked = [argument for argument in arguments if argument[0].isdigit()] or (DEFAULT_SIZES if default else SIZES)
    sizes = [[int(side) for side in size.split("x")] for size in asked]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare = "import sys, pathlib; from benchmarks.scenes import *; f = pathlib.Path(sys.argv[1]); picture(f)"
        model = None if default else folder / "tiny.onnx"
        # In a process of its own: what has loaded torch must not lend its size to its children.
        code = prepare + ("" if default else "; tiny_model(f / 'tiny.onnx')")
        subprocess.run([sys.executable, "-W", "ignore", "-c", code, name], check=True, capture_output=True)
        from benchmarks.scenes import repeated, striped

        make = striped if "--strips" in arguments else repeated
        for engine in ("torch", "onnxruntime") if default else ("onnxruntime",):
            peaks = [
                measured(make(folder, folder / "picture.tif", size[0], size[-1]), folder / "map.tif", model, engine)
                for size in sizes
            ]
            print(f"{engine}: from the least to the most {100 * (max(peaks) / min(peaks) - 1):.1f} %")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(*sys.argv[2:])
    else:
        main(sys.argv[1:])
