"""Settings as TOML: presets, a user's own file, and the `config.toml` a run folder keeps."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from minillm.configs import checks
from minillm.configs.checks import suggestion
from minillm.configs.config import Config
from minillm.errors import ConfigError

_PRESETS = Path(__file__).parent
AnyConfig = TypeVar("AnyConfig")
"""A dataclass whose fields are the sections, dataclasses themselves."""


def preset_names() -> list[str]:
    """Names that `--preset` takes."""
    return sorted(path.stem for path in _PRESETS.glob("*.toml"))


def load_preset(name: str, base: Config | None = None) -> Config:
    """The settings of a preset, laid over `base`. Raises ConfigError for an unknown name, with a suggestion."""
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}{suggestion(name, preset_names())}")
    return load_file(_PRESETS / f"{name}.toml", base or Config())


def load_file(path: Path, base: AnyConfig) -> AnyConfig:
    """`base` with the fields that the TOML file at `path` sets. Raises ConfigError naming the file and the field."""
    sections = read_sections(path)
    try:
        return overlay(base, sections)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_sections(path: Path) -> dict[str, Any]:
    """What stands in a TOML file. Raises ConfigError naming the file where it can't be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error


def overlay(base: AnyConfig, sections: dict) -> AnyConfig:
    """`base` with the fields of `sections` ({"training": {"steps": 10}}) replaced; unknown names are refused.

    A vocabulary size set for the data is the model's too, until the tokenizer has counted it.
    """
    known = [field.name for field in dataclasses.fields(base)]  # type: ignore[arg-type]
    changed: dict[str, Any] = {}
    for name, values in sections.items():
        if name not in known:
            raise ConfigError(f"unknown section [{name}]{suggestion(name, known)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{name} is {values!r}, it must be a section: a line [{name}], then its fields")
        changed[name] = _replace(name, getattr(base, name), values)
    if "vocab_size" in sections.get("data", {}) and "vocab_size" not in sections.get("model", {}):
        model: Any = changed.get("model", getattr(base, "model", None))
        changed["model"] = dataclasses.replace(model, vocab_size=changed["data"].vocab_size)
    return dataclasses.replace(base, **changed)  # type: ignore[type-var]


def _replace(section: str, base: object, values: dict) -> object:
    fields = [field.name for field in dataclasses.fields(base)]  # type: ignore[arg-type]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in values.items():
        if name not in fields:
            raise ConfigError(f"unknown field {name!r} in [{section}]{suggestion(name, fields)}")
        checks.value_type(type(base), name, value)
    return dataclasses.replace(base, **values)  # type: ignore[type-var]


def _toml(value: object) -> str:
    if isinstance(value, str):  # JSON's escapes are TOML's, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def to_toml(config: Any) -> str:
    """The whole config as TOML that `load_file(path, Config())` reads back equal. Fields that are None are left out."""
    lines = []
    for section in dataclasses.fields(config):
        lines.append(f"[{section.name}]")
        values = dataclasses.asdict(getattr(config, section.name))
        lines += [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines)
