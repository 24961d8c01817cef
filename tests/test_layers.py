"""The layers of the package: what a module may import, and what the library never does."""

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "geopix2pix"
LIBRARY = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem != "__init__"
}


class Layer(NamedTuple):
    modules: str
    """Modules, or all those of a folder."""
    below: str
    """Layers that its modules may import from, beside their own."""
    packages: str
    """Packages of others that they may import."""


# A new module is placed here, deliberately. Rasters and networks do not know each other; nor do training and
# translation.
LAYERS = {
    "values": Layer("errors progress files architecture palette records labels runlog child patches", "", "numpy"),
    "ogr": Layer("ogr", "", "pyogrio"),
    "pixels": Layer("grid normalize blend fill registration calibration", "values", "numpy"),
    "rasters": Layer(
        "redirects remote gdal damage bands raster output journal rowband gdalcopy assembly parts carry writer preview "
        "ground geogrid kernel averages warp view openfiles sourcefile aligned vrt",
        "values pixels",
        "numpy rasterio affine filelock urllib3",
    ),
    "areas": Layer("polygons regions outline", "values pixels rasters", "numpy rasterio affine shapely pyogrio"),
    "webtiles": Layer("webtiles.*", "values pixels rasters", "numpy rasterio affine mercantile pmtiles urllib3"),
    "cartography": Layer("cartography.*", "values pixels rasters", "numpy rasterio affine shapely pyogrio PIL"),
    "tilesets": Layer(
        "tilesets.*",
        "values pixels ogr rasters areas webtiles cartography",
        "numpy rasterio affine filelock shapely pyogrio",
    ),
    "pages": Layer("pages.*", "values", "PIL"),
    "inspection": Layer("inspection.*", "values pixels rasters tilesets pages", "numpy rasterio shapely PIL"),
    "networks": Layer(
        "device norms padding doubling fusing unet encoder_unet patchgan networks independence losses metrics "
        "checkpoint",
        "values",
        "numpy torch safetensors segmentation_models_pytorch",
    ),
    "measures": Layer("measures.*", "values", "numpy torch torchvision torchmetrics safetensors"),
    "model": Layer("onnxfile manifest model deepness mlm", "values pixels", "numpy safetensors"),
    "shelf": Layer("modelorigin modelshelf", "values pixels rasters webtiles model", "urllib3"),
    # One engine, one module: only it loads what computes.
    "torch-engine": Layer("torch_engine", "values networks model", "numpy torch"),
    "onnx-engine": Layer("onnx_engine", "values model", "numpy onnxruntime"),
    "data": Layer(
        "pair pairs soundness augmentation configuration configfile dataset",
        "values pixels rasters model tilesets",
        "numpy torch tomli",
    ),
    "interchange": Layer("importing exporting", "values pixels rasters tilesets data", "numpy rasterio"),
    "watching": Layer("watching.*", "values pixels rasters pages", "numpy torch PIL"),
    "training": Layer(
        "adversary alarms team learner run validation outcome training",
        "values pixels rasters networks measures model data watching",
        "numpy torch accelerate filelock PIL",
    ),
    "translation": Layer(
        "engine batches pipeline mosaic scene seams area products resolution fit job planning sight steadying "
        "painting cleaning delivery finishing translation arrays shard estimate stac inventory catalog ledger batch "
        "translator apart many forecast",
        "values pixels rasters areas outputs model torch-engine onnx-engine",
        "numpy affine shapely rasterio",
    ),
    "export": Layer(
        "tracing parity export",
        "values pixels rasters model torch-engine onnx-engine translation",
        "numpy torch onnx onnxscript",
    ),
    "calibration": Layer("calibrating", "values pixels rasters model data translation", "numpy"),
    "outputs": Layer(
        "classpolygons mapvectors webexport",
        "values pixels ogr rasters webtiles",
        "numpy affine rasterio shapely pyogrio mercantile pmtiles PIL",
    ),
    "evaluation": Layer(
        "evaluation.*",
        "values pixels ogr rasters tilesets networks measures model data translation",
        "numpy torch rasterio affine shapely pyogrio PIL",
    ),
    "sample": Layer("town aerial sample", "values ogr", "numpy rasterio affine shapely pyogrio"),
}


def modules_of(layer: str) -> list[str]:
    """The modules of a layer by their names in the package, such as `grid` and `webtiles.slippy`."""
    named = LAYERS[layer].modules.split()
    folders = tuple(name.removesuffix("*") for name in named if name.endswith(".*"))
    return [name for name in named if not name.endswith(".*")] + [
        module for module in LIBRARY if folders and module.startswith(folders)
    ]


LAYER_OF = {module: name for name in LAYERS for module in modules_of(name)}


def module_in(name: str) -> str | None:
    """The module of ours that an imported name, such as `geopix2pix.webtiles.slippy.SlippyView`, comes from."""
    package, *parts = name.split(".")
    paths = (".".join(parts[:length]) for length in (2, 1))
    return next((path for path in paths if path in LIBRARY), None) if package == "geopix2pix" else None


def imports(path: Path) -> Iterator[str]:
    """The full names of what a file imports, inside functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def named(path: Path) -> Iterator[str]:
    """Every name and dotted name that a file uses."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name | ast.Attribute):
            yield ast.unparse(node)


def test_every_module_has_its_layer() -> None:
    assert sorted(LAYER_OF) == sorted(LIBRARY)


@pytest.mark.parametrize("module", sorted(LAYER_OF.keys() & LIBRARY.keys()))
def test_module_imports_only_from_its_layer_and_below(module: str) -> None:
    layer = LAYERS[LAYER_OF[module]]
    for name in imports(LIBRARY[module]):
        package, _, rest = name.partition(".")
        if package == "geopix2pix":
            if rest != "__version__":
                imported = module_in(name)
                assert imported, f"{module} imports {name}"
                assert LAYER_OF[imported] in (LAYER_OF[module], *layer.below.split()), f"{module} imports {imported}"
        elif package not in sys.stdlib_module_names:
            assert package in layer.packages.split(), f"{module} imports {package}"


def test_packages_that_are_imported_are_required() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"] + parser["options.extras_require"]["tiles"]
    required = {line.partition(">")[0] for line in lines.split()}
    imported = {package.replace("_", "-") for layer in LAYERS.values() for package in layer.packages.split()}
    by_others = {"affine": "rasterio", "PIL": "pillow", "torchvision": "segmentation-models-pytorch"}
    assert {by_others.get(package, package) for package in imported} <= required


def test_no_module_imports_itself_by_way_of_others() -> None:
    of = {module: {found for name in imports(path) if (found := module_in(name))} for module, path in LIBRARY.items()}
    placed: set[str] = set()
    while free := {module for module in of.keys() - placed if of[module] <= placed}:
        placed |= free
    assert placed == of.keys()


@pytest.mark.parametrize(
    ("layers", "absent"),
    [
        ("values pixels rasters areas webtiles cartography tilesets inspection", {"torch"}),
        ("values networks measures", {"rasterio"}),
        ("values pixels model onnx-engine", {"torch", "rasterio"}),
        ("values pixels rasters model translation", {"torch", "onnxruntime"}),
        ("sample", {"torch"}),
    ],
)
def test_layers_load_no_more_than_they_need(layers: str, absent: set[str]) -> None:
    """Whatever the packages that they import may import themselves."""
    modules = [module for layer in layers.split() for module in modules_of(layer)]
    code = f"import sys, {', '.join(f'geopix2pix.{module}' for module in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())


# Talking, ending and reading the surroundings belong to shells; the rest would run code that comes with data.
NEVER = {
    "print", "input", "exit", "quit", "breakpoint", "sys.exit", "os._exit", "sys.argv", "os.environ", "os.getenv",
    "sys.stdout", "sys.stderr", "eval", "exec", "compile", "torch.load", "torch.save", "torch.hub",
}  # fmt: skip
NEVER_IMPORTED = {
    "pickle",
    "marshal",
    "shelve",
    "logging",
    "argparse",
    "click",
    "subprocess",
    "socket",
    "urllib",
    "http",
}


@pytest.mark.parametrize("module", sorted(LIBRARY))
def test_library_never(module: str) -> None:
    assert not NEVER & set(named(LIBRARY[module]))
    assert not NEVER_IMPORTED & {name.partition(".")[0] for name in imports(LIBRARY[module])}
    assert not {"os.environ", "os.getenv", "sys.argv", "sys.exit"} & set(imports(LIBRARY[module]))


def test_package_itself_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import geopix2pix; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "geopix2pix" in loaded
    assert not [name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "geopix2pix"}]


def test_shell_imports_itself_relatively_and_the_library_late() -> None:
    """An absolute import would fail where the shell is installed, under another name."""
    for path in (ROOT / "cli").glob("*.py"):
        assert not [name for name in imports(path) if name.partition(".")[0] == "cli"]
        at_start = ast.Module(
            [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)], []
        )
        early = {node.module for node in at_start.body if isinstance(node, ast.ImportFrom) and not node.level}
        library = {module for module in early if module and module.partition(".")[0] == "geopix2pix"}
        light = {"geopix2pix", *(f"geopix2pix.{module}" for module in ("errors", "progress", "architecture"))}
        assert library <= light, path


def test_library_does_not_know_its_shells() -> None:
    for path in LIBRARY.values():
        assert not [
            name for name in imports(path) if name.partition(".")[0] in ("cli", "geopix2pix_cli", "qgis_plugin")
        ]
