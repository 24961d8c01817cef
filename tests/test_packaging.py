"""What is installed: two packages, the model, the command, and nothing else."""

import configparser
import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import geopix2pix

ROOT = Path(__file__).parents[1]
SHIPPED = ("geopix2pix", "cli", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def configuration() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_all_packages_are_listed() -> None:
    """The list in setup.cfg is kept by hand; a folder with modules that is missing in it would not be installed."""
    options = configuration()["options"]
    renamed = dict(line.split(" = ") for line in options["package_dir"].strip().splitlines())
    listed = {renamed.get(name, name).replace(".", "/") for name in options["packages"].split()}
    folders = {
        str(path.parent.relative_to(ROOT)) for name in ("geopix2pix", "cli") for path in (ROOT / name).rglob("*.py")
    }
    assert listed == folders


def test_command_exists() -> None:
    from cli.main import main

    script = configuration()["options.entry_points"]["console_scripts"].strip()
    assert script == "geopix2pix = geopix2pix_cli.main:main"
    assert callable(main)


def test_the_plugin_is_of_the_same_version() -> None:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "qgis_plugin" / "metadata.txt", encoding="utf-8")
    assert metadata["general"]["version"] == geopix2pix.__version__
    assert (ROOT / "qgis_plugin" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_installed_name_of_the_shell_is_used_nowhere_else() -> None:
    """In the repository a folder is imported by its own name; only what starts the installed command says the other."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("geopix2pix", "cli", "benchmarks", "recipes", "tests", "qgis_plugin")
        for path in (ROOT / folder).rglob("*.py")
        if "geopix2pix_cli" in path.read_text(encoding="utf-8")
    }
    tests = {f"tests/test_{name}.py" for name in ("packaging", "layers", "plugin_command")}
    assert found <= {*tests, "qgis_plugin/command.py"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built without network from a copy of what ships, since building leaves folders behind."""
    pytest.importorskip("setuptools", minversion="64", reason="building a wheel without network needs setuptools here")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    build = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def test_wheel_holds_two_packages_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    info = f"geopix2pix-{geopix2pix.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"geopix2pix", "geopix2pix_cli", info}
    parts = {part for name in names for part in Path(name).parts}
    assert not [part for part in parts if part.startswith("test") or part == "__pycache__"]


def test_wheel_holds_all_files_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    inside = ROOT / "geopix2pix"
    kept = (path.relative_to(inside) for path in inside.rglob("*") if path.is_file() and path.suffix != ".tmp")
    library = {path.as_posix() for path in kept if "__pycache__" not in path.parts}
    shell = {path.name for path in (ROOT / "cli").glob("*.py")}
    assert {n.removeprefix("geopix2pix/") for n in names if n.startswith("geopix2pix/")} == library
    assert {n.removeprefix("geopix2pix_cli/") for n in names if n.startswith("geopix2pix_cli/")} == shell
    assert "py.typed" in library


def test_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        info = f"geopix2pix-{geopix2pix.__version__}.dist-info"
        metadata = Parser().parsestr(file.read(f"{info}/METADATA").decode())
        assert file.read(f"{info}/entry_points.txt").decode().split() == [
            "[console_scripts]",
            "geopix2pix",
            "=",
            "geopix2pix_cli.main:main",
        ]
        assert file.read(f"{info}/top_level.txt").decode().split() == ["geopix2pix", "geopix2pix_cli"]
    needed = {line.partition(">")[0] for line in metadata.get_all("Requires-Dist") if "extra" not in line}
    assert {"torch", "rasterio", "numpy", "click", "safetensors"} <= needed
    assert metadata["Version"] == geopix2pix.__version__


def test_installed_shell_runs_under_its_own_name(wheel: Path, tmp_path: Path) -> None:
    """The renamed package works outside the repository, isolated from it and from the environment."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from geopix2pix_cli.main import main; "
        "import geopix2pix; print(geopix2pix.__file__); main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        str(tmp_path / "geopix2pix" / "__init__.py"),
        f"geopix2pix, version {geopix2pix.__version__}",
    ]


# --- the light installation ---


def test_the_light_list_is_part_of_the_full_one() -> None:
    lines = (ROOT / "light.txt").read_text(encoding="utf-8").splitlines()
    listed = {line for line in lines if not line.startswith("#")}
    assert listed < set(configuration()["options"]["install_requires"].split())
    assert not {line for line in listed if line.startswith(("torch", "segmentation", "onnx>", "onnxscript"))}


@pytest.mark.slow
def test_an_environment_with_the_light_list_alone_translates(wheel: Path, scene: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([python, "-I", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    done = run(*install, "--requirement", ROOT / "light.txt")
    if done.returncode != 0:
        pytest.skip(f"no packages can be had here: {done.stderr.strip().splitlines()[-1:]}")
    assert run(*install, "--no-deps", wheel).returncode == 0
    assert run("-c", "import torch").returncode == 1
    done = run("-m", "geopix2pix_cli", "doctor")
    assert done.returncode == 0, done.stdout
    assert "light: translates with exported models" in done.stdout
    done = run("-m", "geopix2pix_cli", "translate", scene, "out.tif", "--window", "64", "--overlap", "32")
    assert (done.returncode, done.stdout) == (0, "out.tif\n"), done.stderr
    told = done.stderr.splitlines()  # the model in the package does not know the size of its pixels
    assert "worked on in its own pixels" in told[0] and all(line.startswith("warning: ") for line in told)
