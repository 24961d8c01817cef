"""Training options in a TOML file: read for `configuration.configure`, and written so that they can be read again."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from geopix2pix import __version__, records
from geopix2pix.architecture import DiscriminatorSpec, GeneratorSpec, Norm
from geopix2pix.configuration import TrainingConfig
from geopix2pix.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = {"generator": GeneratorSpec, "discriminator": DiscriminatorSpec}
SHORT = {"preset": str, "encoder": str, "norm": Norm}
"""What `configure` takes beside the fields of a configuration."""


def read_config(path: Path) -> dict[str, Any]:
    """The options in a file, under the names that `configure` has for them; the tables hold only what is given.

    Names of files are relative to the folder of the file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or has an option that is unknown or of the wrong type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as a TOML file of training options ({error}); mend it") from error

    def beside(data: Any, where: str) -> Path:
        return path.parent / str(records.checked(isinstance(data, str), data, where, "a file name"))

    forms: records.Forms = {Path: beside}
    hints = get_type_hints(TrainingConfig) | SHORT
    try:
        found = _options({name: hint for name, hint in hints.items() if name not in TABLES}, document, str(path), forms)
        for name, kind in TABLES.items():
            if name in document:
                where = f"{path}: {name}"
                table = records.checked(isinstance(document[name], dict), document[name], where, "a table")
                found[name] = _options(get_type_hints(kind), table, where, forms)
    except records.RecordError as error:
        raise ConfigError(str(error)) from error
    return found


def _options(hints: Mapping[str, Any], table: Mapping[str, Any], where: str, forms: records.Forms) -> dict[str, Any]:
    """The options of a table that may have those of `hints`; tables within it are left alone."""
    names = [name for name in table if name not in TABLES]
    for name in names:
        if name not in hints:
            near = get_close_matches(name, hints, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"{where}: {name!r} is no training option; {meant}allowed are {', '.join(sorted(hints))}")
    return {name: records.value(hints[name], table[name], f"{where}: {name}", forms) for name in names}


def to_toml(config: TrainingConfig) -> str:
    """All options as a document that `read_config` reads again: without those that are None, with full paths."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    lines = [f"# All options of a run, by geopix2pix {__version__}: train PAIRS --config THIS-FILE repeats it."]
    lines += _lines({name: value for name, value in fields.items() if name not in TABLES})
    for name in TABLES:
        lines += ["", f"[{name}]", *_lines(dataclasses.asdict(fields[name]))]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        if value is not None:
            plain = str(value.absolute()) if isinstance(value, Path) else value
            # Numbers, lists, true and text without line breaks are the same in JSON and TOML.
            yield f"{name} = {json.dumps(plain, ensure_ascii=False)}".replace("\x7f", "\\u007f")
