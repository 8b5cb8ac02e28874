"""Settings from defaults, a YAML file, the environment and the command line, each beating the one before.

An unknown key is an error that names it, wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """A part of a settings file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load_settings(
    model: type[S],
    *,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    env_prefix: str = "VOICEPLANE_",
) -> S:
    """Settings of one program.

    Args:
        model: The program's settings, a Section of Sections.
        file: A YAML file; None for none.
        overrides: Values from the command line by dotted name, such as "model_manager.ttl_ms"; None values are ignored.
        env_prefix: Variables are named by this, the section, two underscores and the key, such as
            VOICEPLANE_MODEL_MANAGER__TTL_MS.

    Raises:
        VoiceplaneError: A value is wrong, a key is unknown or the file can't be read; names the key and the remedy.
    """
    values = _read_yaml(file) if file else {}
    _merge(values, _read_environment(model, env_prefix))
    for name, value in (overrides or {}).items():
        if value is not None:
            _merge(values, _nest(name, value))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(error, model) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid("config", f"cannot read {file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise invalid("config", f"{file} is not YAML{_place(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise invalid("config", f"{file} must hold a mapping of sections at its top level")
    return values


def _place(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the text that stands there, which may be a key."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ""
    mark = error.problem_mark
    return f": {error.problem} in line {mark.line + 1}, column {mark.column + 1}"


def _read_environment(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    class Reader(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=prefix, env_nested_delimiter="__", extra="ignore")

    for name, info in model.model_fields.items():
        Reader.model_fields[name] = info
    return dict(EnvSettingsSource(Reader)())


def _nest(name: str, value: object) -> dict[str, Any]:
    head, _, rest = name.partition(".")
    return {head: _nest(rest, value) if rest else value}


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _explain(error: ValidationError, model: type[BaseModel]) -> Exception:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return invalid(name, f"unknown setting {name!r}: remove it or correct its name")
    words = problem["msg"].removeprefix("Value error, ")
    where = f"setting {name!r}: " if name else ""  # a check over several sections names its keys itself
    got = f" (got {problem['input']!r})" if _may_be_shown(problem["input"], model, problem["loc"]) else ""
    return invalid(name, f"{where}{words}{got}")


def _may_be_shown(value: object, model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether an error may repeat a value: not that of a secret, and no section, which may hold one."""
    field: Any = model
    for part in location:
        if isinstance(field, type) and issubclass(field, BaseModel):
            field = field.model_fields[str(part)].annotation
    is_section = isinstance(field, type) and issubclass(field, BaseModel)
    return isinstance(value, (str, int, float)) and not is_section and "Secret" not in str(field)
