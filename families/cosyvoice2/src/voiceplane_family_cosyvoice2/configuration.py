"""cosyvoice2.yaml, read without running it.

The library reads it with HyperPyYAML, which imports and calls whatever the file names: a pack could run any code. Here
the tags are data. What they name is made by callables that the reader gives, and nothing else is ever called.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# What the public file seeds before it makes the model; here each utterance has random numbers of its own.
SEEDS = ("random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all")
# The rest of what it names is the library's: the model, and what only training needs.
PACKAGES = ("cosyvoice.", "matcha.")
OTHERS = ("omegaconf.DictConfig",)

_REFERENCE = re.compile(r"<([A-Za-z_]\w*)>")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}


class ConfigurationError(ValueError):
    """A cosyvoice2.yaml that can't be used; its text goes on from the file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What `!new:name` and `!name:name` stand for.

    Attributes:
        name: With its package, such as "cosyvoice.llm.llm.Qwen2LM".
        arguments: By name; they may hold calls and references.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reference:
    text: str


class Configuration:
    """The file's entries."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def value(self, key: str) -> Any:
        """An entry with its references replaced.

        Raises:
            ConfigurationError: It is not there, or refers to what is not there.
        """
        if key not in self._entries:
            raise ConfigurationError(f"has no entry {key!r}")
        return self._resolve(self._entries[key])

    def make(self, key: str, callables: Mapping[str, Callable[..., Any]]) -> Any:
        """An entry with its calls made.

        Args:
            key: Its name.
            callables: What may be called, by the names in the file.

        Raises:
            ConfigurationError: It names something else, or with other arguments than that takes.
        """
        entry = self.value(key)
        if not isinstance(entry, Call):
            raise ConfigurationError(f"{key} is not made by !new: or !name:")
        return self._make(entry, callables)

    def _make(self, entry: Any, callables: Mapping[str, Callable[..., Any]]) -> Any:
        match entry:
            case Call(name=name, arguments=arguments):
                if name not in callables:
                    raise ConfigurationError(f"names {name}, where only these can be: {', '.join(callables)}")
                made = {key: self._make(self._resolve(value), callables) for key, value in arguments.items()}
                try:
                    return callables[name](**made)
                except (TypeError, AssertionError, KeyError) as error:
                    raise ConfigurationError(f"does not fit {name}: {error}") from None
            case dict():
                return {key: self._make(self._resolve(value), callables) for key, value in entry.items()}
            case list():
                return [self._make(self._resolve(value), callables) for value in entry]
            case _:
                return entry

    def _resolve(self, entry: Any) -> Any:
        """An entry itself, or what it refers to; the arithmetic of the format is + - * / and //."""
        if not isinstance(entry, _Reference):
            return entry
        if (whole := _REFERENCE.fullmatch(entry.text)) is not None:
            return self.value(whole[1])
        values = {name: self.value(name) for name in _REFERENCE.findall(entry.text)}
        try:
            return _compute(ast.parse(_REFERENCE.sub(r"\1", entry.text.strip()), mode="eval").body, values)
        except (SyntaxError, ArithmeticError, TypeError, KeyError) as error:
            raise ConfigurationError(f"has a reference that can't be computed, {entry.text!r}: {error}") from None


def read_configuration(file: Path) -> Configuration:
    """Read a cosyvoice2.yaml. Blocking.

    Raises:
        ConfigurationError: It is missing, is not YAML, or names what is not of this model.
    """
    try:
        # A safe loader: tags that _Loader does not know are refused, and its own only make data.
        entries = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't be read: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"can't be read: {' '.join(str(error).split())}") from None
    if not isinstance(entries, dict):
        raise ConfigurationError("must hold a mapping")
    return Configuration(entries)


class _Loader(yaml.SafeLoader):
    """YAML with the tags of the public file."""


def _call(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Call:
    if not (name.startswith(PACKAGES) or name in OTHERS):
        raise ConfigurationError(f"names {name}, which is not of this model, and which is not run")
    if isinstance(node, yaml.MappingNode):
        arguments = loader.construct_mapping(node, deep=True)
        return Call(name=name, arguments={str(key): value for key, value in arguments.items()})
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return Call(name=name)
    raise ConfigurationError(f"gives {name} arguments without names")


def _seed(_loader: yaml.SafeLoader, name: str, _node: yaml.Node) -> None:
    if name not in SEEDS:
        raise ConfigurationError(f"calls {name}, which is not of this model, and which is not run")


def _reference(loader: yaml.SafeLoader, node: yaml.Node) -> _Reference:
    return _Reference(str(loader.construct_scalar(node)))  # type: ignore[arg-type]  # raises for another node


def _compute(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_compute(left, values), _compute(right, values))
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return values[name]
        case _:
            raise TypeError("only numbers and + - * / // are known")


_Loader.add_multi_constructor("!new:", _call)
_Loader.add_multi_constructor("!name:", _call)
_Loader.add_multi_constructor("!apply:", _seed)
_Loader.add_constructor("!ref", _reference)
# YAML 1.2 has numbers such as 1e-06, which 1.1 takes for text.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+"), list("-+0123456789"))
