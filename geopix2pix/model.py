"""Model files: a manifest, and weights in half precision (`.safetensors`) or a graph (`.onnx`). Never a pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geopix2pix.errors import ModelFileError, OutputError
from geopix2pix.files import replacing
from geopix2pix.manifest import Manifest
from geopix2pix.onnxfile import FIRST_BYTE, OnnxError, OnnxGraph, read_onnx

KEY = "geopix2pix"
"""The entry of the metadata, in a safetensors header or an ONNX file, that holds the manifest as JSON."""
MAX_MANIFEST = 2**20  # characters; real manifests have a few thousand
MAX_GRAPH = 2**30  # bytes of an ONNX file, which is read into memory whole; the classic U-Net has a tenth of that

Weights = Mapping[str, npt.NDArray[Any]]


class ModelFile(NamedTuple):
    """What a model file holds."""

    manifest: Manifest
    weights: dict[str, npt.NDArray[Any]]
    """By the names of the network's state, floating-point ones in float16, or float32 where half cannot hold them; of
    an exported model the constants of its graph."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""
    graph: OnnxGraph | None = None
    """The network of an exported model; None for a trained one, whose network is built from the manifest."""

    @classmethod
    def load(cls, path: Path | str) -> "ModelFile":
        """The model in the file at `path`; what kind of file it is, is told by its content.

        Nothing of it is run. Whether tensors and graph fit the network is left to the engine, which builds it.

        Raises:
            ModelFileError: the file is missing, damaged, of another kind or of a newer format, or a field is wrong.
        """
        path = Path(path)
        try:
            _check_regular(path)
            with path.open("rb") as file:
                kind = _kind(path, file.read(9))
                file.seek(0)
                if kind == "onnx":
                    return cls.exported(_limited(path, file.read(MAX_GRAPH + 1)), str(path))
                digest = _sha256(file)
            with safe_open(path, framework="numpy") as tensors:
                manifest = _manifest(path, (tensors.metadata() or {}).get(KEY))
                weights: dict[str, npt.NDArray[Any]] = tensors.get_tensors()
            _check_dtypes(weights)
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
        except (SafetensorError, TypeError, KeyError, MemoryError) as error:
            raise ModelFileError(f"{path}: is truncated or damaged ({error}); get the model file again") from error
        _check_finite(path, weights)
        return cls(manifest, weights, digest)

    @classmethod
    def exported(cls, data: bytes, where: str) -> "ModelFile":
        """The model in the bytes of an ONNX file; `where` is what error messages call it.

        Raises:
            ModelFileError: they are damaged, were not written by geopix2pix, or a field of the manifest is wrong.
        """
        try:
            graph = read_onnx(data)
        except OnnxError as error:
            raise ModelFileError(
                f"{where}: is no ONNX file that geopix2pix wrote, or damaged ({error}); export the model again"
            ) from error
        manifest = _manifest(where, graph.metadata.get(KEY))
        _check_sides(where, manifest, graph)
        _check_finite(where, graph.weights)
        return cls(manifest, graph.weights, hashlib.sha256(data).hexdigest(), graph)

    @property
    def window(self) -> int | None:
        """The only side of windows that the network takes, in pixels; None for any multiple of its stride."""
        return None if self.graph is None else self.graph.source[-1]


def default_model(*, exported: bool = False) -> Path:
    """The model file that ships with the package, as it was trained or exported."""
    return Path(__file__).parent / "models" / ("default.onnx" if exported else "default.safetensors")


def write_model(path: Path | str, manifest: Manifest, weights: Weights) -> None:
    """Writes a model file in one step: it is complete or not there at all; an older file at `path` is replaced.

    Floating-point tensors are stored as float16, or as float32 where they exceed its range; all others as they are.

    Raises:
        ModelFileError: the manifest is impossible or a tensor holds values that are not finite; nothing is written.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    text = manifest_text(manifest)
    if name := _not_finite(weights):
        raise ModelFileError(
            f"{path}: not written, tensor {name!r} holds values that are not finite; train the model again"
        )
    write_whole(path, save({name: _halved(array) for name, array in weights.items()}, {KEY: text}))


def manifest_text(manifest: Manifest) -> str:
    """The manifest as it stands in model files.

    Raises:
        ModelFileError: it is impossible, so that it could not be read again.
    """
    described = manifest.to_json()
    Manifest.from_json(described)
    return json.dumps(described, ensure_ascii=False, allow_nan=False, sort_keys=True)


def write_whole(path: Path, data: bytes) -> None:
    """Writes the bytes of a model file in one step.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise OutputError(
            f"{path}: the model cannot be written ({error.strerror or error}); check the folder and the free disk space"
        ) from error


def _check_regular(path: Path) -> None:
    """Refuses folders, and pipes and devices too, which would make the reader wait for ever."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        raise ModelFileError(f"{path}: {found}; give the path of a geopix2pix model file (.safetensors or .onnx)")


def _kind(path: Path, head: bytes) -> Literal["safetensors", "onnx"]:
    """The kind of a file by its first bytes.

    A safetensors file has eight of a length and then the brace that opens a header.
    """
    if not head:
        raise ModelFileError(f"{path}: is empty; get the model file again")
    if head[8:] == b"{":
        return "safetensors"
    if head[0] == FIRST_BYTE:
        return "onnx"
    if head.startswith(b"PK\x03\x04") or (head[0] == 0x80 and head[1:2] <= b"\x05"):
        raise ModelFileError(
            f"{path}: is a pickle or a torch archive, which may hold code and is never opened; "
            "give a model file that was written by geopix2pix (.safetensors or .onnx)"
        )
    raise ModelFileError(f"{path}: is no model file; give one that was written by geopix2pix (.safetensors or .onnx)")


def _limited(path: Path, data: bytes) -> bytes:
    if len(data) > MAX_GRAPH:
        raise ModelFileError(f"{path}: has more than the {MAX_GRAPH >> 20} MiB that are accepted of an ONNX file")
    return data


def _manifest(where: Path | str, text: str | None) -> Manifest:
    if text is None:
        raise ModelFileError(f"{where}: has no geopix2pix manifest; give a model that was written by geopix2pix")
    if len(text) > MAX_MANIFEST:
        raise ModelFileError(f"{where}: manifest: has {len(text)} characters, at most {MAX_MANIFEST} are accepted")
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{where}: manifest: is no valid JSON ({error}); get the model file again") from error
    return Manifest.from_json(data, f"{where}: manifest")


def _check_sides(where: str, manifest: Manifest, graph: OnnxGraph) -> None:
    """Refuses a graph that reads or answers with other arrays than the manifest says."""
    generator, side = manifest.generator, manifest.window
    for name, channels, shape in (
        ("reads", generator.in_bands, graph.source),
        ("answers with", generator.out_channels, graph.target),
    ):
        if shape not in ((None, channels, None, None), (1, channels, side, side)):
            raise ModelFileError(
                f"{where}: its graph {name} arrays of shape {shape}, its manifest says {channels} channels and windows "
                f"of any side or of {side}; export the model again"
            )


def _check_dtypes(weights: Weights) -> None:
    """Refuses what numpy knows only once another package has told it, such as bfloat16."""
    for name, array in weights.items():
        if array.dtype.isbuiltin != 1:
            raise TypeError(f"tensor {name!r} holds {array.dtype}")


def _check_finite(where: Path | str, weights: Weights) -> None:
    if name := _not_finite(weights):
        raise ModelFileError(f"{where}: tensor {name!r} holds values that are not finite; get the model file again")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _halved(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    stored: npt.NDArray[Any] = np.array(array, order="C")
    if np.issubdtype(stored.dtype, np.floating):
        with np.errstate(over="ignore"):
            half = stored.astype(np.float16)
        stored = half if np.isfinite(half).all() else stored.astype(np.float32)
    return stored


def _not_finite(weights: Weights) -> str | None:
    """The name of the first tensor with a value that is not finite."""
    return next((name for name, array in weights.items() if not np.isfinite(array).all()), None)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()
