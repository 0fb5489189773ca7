"""Settings: frozen dataclasses filled from YAML and the environment; errors name the place.

A settings class is a frozen dataclass whose fields are `Annotated[type, "what it means"]`; a field
may itself be such a class (a section), a list or a dict of plain values, or a list of sections.
Defaults stand in the class, cross-field checks in `__post_init__` (raise ValueError). Unknown
keys are refused with a suggestion. Each plain field can be set by an environment variable named
after its path: `archive.settle` by OPENTRAIL_ARCHIVE_SETTLE.

A `Seconds` field takes `2s`, `3min`, `1h`, `7d` or a number; a `Bytes` field `256MB`, `1GiB` or a
number.
"""

import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NewType, TypeVar, get_args, get_origin, get_type_hints

import yaml

from opentrail.errors import ConfigError

Seconds = NewType("Seconds", float)
Bytes = NewType("Bytes", int)
PREFIX = "OPENTRAIL"

T = TypeVar("T")

_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 10**3, "m": 10**6, "g": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class SettingDoc:
    """One setting as the documentation shows it."""

    path: str
    type: str
    default: str
    environment: str
    meaning: str


class _Problem(Exception):
    """What is wrong at a node; the loader adds where it is."""

    def __init__(self, message: str, node: yaml.Node | None, path: str) -> None:
        super().__init__(message)
        self.node = node
        self.path = path


def load_settings(
    cls: type[T],
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> T:
    """The settings of `path` (defaults if None), then the environment, then `overrides`.

    `overrides` maps dotted paths to texts, as a command line gives them. Raises ConfigError:
    `FILE:LINE:COLUMN: KEY: what is wrong; what to do`.
    """
    environment = os.environ if environment is None else environment
    root = _read_yaml(path) if path is not None else None
    texts = _environment_texts(cls, environment) | {
        key: (value, f"option {key}") for key, value in (overrides or {}).items()
    }
    try:
        return typing.cast(T, _build(cls, root, "", texts))
    except _Problem as problem:
        where = ""
        if problem.node is not None and path is not None:
            mark = problem.node.start_mark
            where = f"{path}:{mark.line + 1}:{mark.column + 1}: "
        key = f"{problem.path}: " if problem.path else ""
        raise ConfigError(f"{where}{key}{problem}") from None


def describe_settings(cls: type, prefix: str = "") -> list[SettingDoc]:
    """Every plain setting below `cls`, for the documentation and its test."""
    docs: list[SettingDoc] = []
    for field, hint, meaning in _fields(cls):
        path = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint):
            docs += describe_settings(typing.cast(type, hint), f"{path}.")
            continue
        docs.append(
            SettingDoc(path, _type_name(hint), _default_text(field), variable_of(path), meaning)
        )
    return docs


def variable_of(path: str) -> str:
    """The environment variable that overrides the setting `path`."""
    return f"{PREFIX}_{path.upper().replace('.', '_')}"


def parse_seconds(text: str) -> float:
    """Seconds in a text as `2s`, `1.5h` or `90`; ValueError if it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or (match[2] and match[2] not in _SECONDS):
        raise ValueError(f"{text!r} is no duration; write it as 500ms, 2s, 3min, 1h or 7d")
    return float(match[1]) * _SECONDS.get(match[2], 1)


def parse_bytes(text: str) -> int:
    """Bytes in a text as `256MB`, `1GiB` or `4096`; ValueError if it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _BYTES:
        raise ValueError(f"{text!r} is no size; write it as 4096, 64MB or 1GiB")
    return int(float(match[1]) * _BYTES[match[2]])


def _read_yaml(path: Path) -> yaml.Node | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; make it or give --config FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: not YAML: {error.problem or error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None


def _environment_texts(cls: type, environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {
        doc.path: (environment[doc.environment], doc.environment)
        for doc in describe_settings(cls)
        if environment.get(doc.environment)
    }


def _fields(cls: type) -> list[tuple[dataclasses.Field[Any], Any, str]]:
    hints = get_type_hints(cls, include_extras=True)
    found: list[tuple[dataclasses.Field[Any], Any, str]] = []
    for field in dataclasses.fields(cls):
        hint, meaning = hints[field.name], ""
        if get_origin(hint) is Annotated:
            hint, meaning = get_args(hint)[0], str(get_args(hint)[1])
        found.append((field, hint, meaning))
    return found


def _build(
    cls: Any, node: yaml.Node | None, path: str, texts: Mapping[str, tuple[str, str]]
) -> object:
    nodes = _members(node, path)
    fields = {field.name: (field, hint) for field, hint, _ in _fields(cls)}
    for name, (key_node, _) in nodes.items():
        if name not in fields:
            close = difflib.get_close_matches(name, fields, 1)
            hint = f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(fields)}"
            raise _Problem(f'unknown key "{name}"{hint}', key_node, path)
    values: dict[str, object] = {}
    for name, (field, hint) in fields.items():
        here = f"{path}.{name}" if path else name
        value_node = nodes[name][1] if name in nodes else None
        if dataclasses.is_dataclass(hint):
            values[name] = _build(hint, value_node, here, texts)
        elif here in texts:
            text, origin = texts[here]
            values[name] = _from_text(hint, text, here, origin)
        elif value_node is not None:
            values[name] = _convert(hint, value_node, here)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Problem("is missing and has no default", node, here)
    try:
        return cls(**values)
    except ValueError as error:
        raise _Problem(str(error), node, path) from None


def _members(node: yaml.Node | None, path: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise _Problem("expected keys and values here", node, path)
    members: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if key.value in members:
            raise _Problem(f'"{key.value}" is given twice', key, path)
        members[key.value] = (key, value)
    return members


def _from_text(hint: Any, text: str, path: str, origin: str) -> object:
    try:
        return _convert(hint, yaml.compose(text, Loader=yaml.SafeLoader), path)
    except (_Problem, yaml.YAMLError) as problem:
        raise _Problem(f"{problem} (from {origin})", None, path) from None


def _convert(hint: Any, node: yaml.Node | None, path: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if node is None or node.tag.endswith(":null"):
            return None
        return _convert(next(a for a in arguments if a is not type(None)), node, path)
    if origin in (list, tuple, frozenset):
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        built = [_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(items)]
        return typing.cast(Any, origin)(built)
    if origin is dict:
        return {
            key: _convert(arguments[1], value, f"{path}.{key}")
            for key, (_, value) in _members(node, path).items()
        }
    if dataclasses.is_dataclass(hint):
        return _build(hint, node, path, {})
    if origin is typing.Literal:
        text = _scalar(node, path)
        if text not in arguments:
            raise _Problem(f"{text!r} is not one of {', '.join(map(str, arguments))}", node, path)
        return text
    return _plain(hint, node, path)


def _plain(hint: Any, node: yaml.Node | None, path: str) -> object:
    text = _scalar(node, path)
    assert node is not None
    try:
        if hint is Seconds:
            return parse_seconds(text)
        if hint is Bytes:
            return parse_bytes(text)
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint in (int, float):
            return hint(text.replace("_", ""))
        return Path(text).expanduser() if hint is Path else str(text)
    except KeyError:
        raise _Problem(f"{text!r} is neither true nor false", node, path) from None
    except ValueError as error:
        message = str(error) if hint in (Seconds, Bytes) else f"{text!r} is no {hint.__name__}"
        raise _Problem(message, node, path) from None


def _scalar(node: yaml.Node | None, path: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Problem("expected one value here", node, path)
    return str(node.value)


def _type_name(hint: Any) -> str:
    if get_origin(hint) is not None:
        return str(hint).replace("typing.", "")
    return str(getattr(hint, "__name__", hint))


def _default_text(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return str(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    return "(required)"
