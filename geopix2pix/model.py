"""Model files: weights in half precision and a manifest in the header of one `.safetensors` file. Never a pickle."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geopix2pix.errors import ModelFileError, OutputError
from geopix2pix.files import replacing
from geopix2pix.manifest import Manifest

KEY = "geopix2pix"
"""The entry of the safetensors header that holds the manifest as JSON."""
MAX_MANIFEST = 2**20  # characters; real manifests have a few thousand

Weights = Mapping[str, npt.NDArray[Any]]


class ModelFile(NamedTuple):
    """What a model file holds."""

    manifest: Manifest
    weights: dict[str, npt.NDArray[Any]]
    """By the names of the network's state; floating-point ones are float16, or float32 where half cannot hold them."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""

    @classmethod
    def load(cls, path: Path | str) -> "ModelFile":
        """The model in the file at `path`. Whether its tensors fit its network is left to `engine`, which builds it.

        Raises:
            ModelFileError: the file is missing, damaged, of another kind or of a newer format, or a field is wrong.
        """
        path = Path(path)
        try:
            _check_regular(path)
            with path.open("rb") as file:
                _check_kind(path, file.read(9))
                file.seek(0)
                digest = _sha256(file)
            with safe_open(path, framework="numpy") as tensors:
                manifest = _manifest(path, (tensors.metadata() or {}).get(KEY))
                weights: dict[str, npt.NDArray[Any]] = tensors.get_tensors()
        except OSError as error:
            raise ModelFileError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
        except (SafetensorError, TypeError, KeyError, MemoryError) as error:
            raise ModelFileError(f"{path}: is truncated or damaged ({error}); get the model file again") from error
        if name := _not_finite(weights):
            raise ModelFileError(f"{path}: tensor {name!r} holds values that are not finite; get the model file again")
        return cls(manifest, weights, digest)


def default_model() -> Path:
    """The model file that ships with the package."""
    return Path(__file__).parent / "models" / "default.safetensors"


def write_model(path: Path | str, manifest: Manifest, weights: Weights) -> None:
    """Writes a model file in one step: it is complete or not there at all; an older file at `path` is replaced.

    Floating-point tensors are stored as float16, or as float32 where they exceed its range; all others as they are.

    Raises:
        ModelFileError: the manifest is impossible or a tensor holds values that are not finite; nothing is written.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    described = manifest.to_json()
    Manifest.from_json(described)  # what is written can be read again
    if name := _not_finite(weights):
        raise ModelFileError(
            f"{path}: not written, tensor {name!r} holds values that are not finite; train the model again"
        )
    text = json.dumps(described, ensure_ascii=False, allow_nan=False, sort_keys=True)
    data = save({name: _halved(array) for name, array in weights.items()}, {KEY: text})
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
        raise ModelFileError(f"{path}: {found}; give the path of a geopix2pix model file (.safetensors)")


def _check_kind(path: Path, head: bytes) -> None:
    """Refuses what is no safetensors file by its first bytes: eight of a length, then the brace that opens a header."""
    if not head:
        raise ModelFileError(f"{path}: is empty; get the model file again")
    if head[8:] == b"{":
        return
    if head.startswith(b"PK\x03\x04") or (head[0] == 0x80 and head[1:2] <= b"\x05"):
        raise ModelFileError(
            f"{path}: is a pickle or a torch archive, which may hold code and is never opened; "
            "give a model file that was written by geopix2pix (.safetensors)"
        )
    raise ModelFileError(f"{path}: is no safetensors file; give a model file that was written by geopix2pix")


def _manifest(path: Path, text: str | None) -> Manifest:
    if text is None:
        raise ModelFileError(
            f"{path}: is a safetensors file without a geopix2pix manifest; give a model that was written by geopix2pix"
        )
    if len(text) > MAX_MANIFEST:
        raise ModelFileError(f"{path}: manifest: has {len(text)} characters, at most {MAX_MANIFEST} are accepted")
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: manifest: is no valid JSON ({error}); get the model file again") from error
    return Manifest.from_json(data, f"{path}: manifest")


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
