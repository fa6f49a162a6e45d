"""Frozen dataclasses from TOML tables, checked key by key against their type hints."""

from __future__ import annotations

import json
import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dsum_bench.errors import UserError, did_you_mean, suggestion
from dsum_bench.registry.toml_lines import join_key, key_lines, split_key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a table, for messages.

    file: the file's name, or what the user typed. text: the file's content, empty when there is none.
    table: the table's dotted key as TOML writes it, ``models."solar-10.7b".options``; empty for the top.
    item: number of the table in a list of tables, from 0.
    """

    file: str
    text: str = ""
    table: str = ""
    item: int | None = None

    def inside(self, *keys: str, item: int | None = None) -> Where:
        """The place of a table within this one."""
        table = ".".join(filter(None, (self.table, join_key(*keys))))
        return Where(self.file, self.text, table, item)

    def line(self, *keys: str | int) -> int | None:
        """The line that names a key of this table; else of what is around it; None without a text."""
        if not self.text:
            return None
        lines = key_lines(self.text)
        item = () if self.item is None else (self.item,)
        path: tuple[str | int, ...] = (*split_key(self.table), *item, *keys)
        return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)

    def error(self, problem: str, *keys: str | int) -> UserError:
        """``FILE, line N, [TABLE]: problem``, to be raised."""
        line = self.line(*keys)
        parts = [self.file, f"line {line}" if line else "", f"[{self.table}]" if self.table else ""]
        return UserError(f"{', '.join(p for p in parts if p)}: {problem}")


class Mismatch(Exception):
    """A value is not of the type it should have. keys: where in the value, from the outside in."""

    def __init__(self, problem: str, *keys: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.keys = keys


def read_table(cls: type[T], table: Mapping[str, object], where: Where, given: Mapping[str, object] | None = None) -> T:
    """Build a dataclass from a table.

    given: fields that the caller knows and a table may not name.

    Raises:
        UserError: an unknown key, a wrong type, a missing key, or what the class itself refuses with
            ValueError; names file, line, table and key.
    """
    values = {**read_values(cls, table, where, given or ()), **(given or {})}
    missing = [f.name for f in _fields(cls) if f.name not in values and not _has_default(f)]
    if missing:
        raise where.error(f"key '{missing[0]}' is missing")
    try:
        return cls(**values)
    except ValueError as error:
        word = str(error).partition(" ")[0]
        raise where.error(str(error), *(k for k in table if k == word)) from None


def read_values(
    cls: type, table: Mapping[str, object], where: Where, hidden: Sequence[str] | Mapping[str, object] = ()
) -> dict[str, Any]:
    """The keys of a table with their values checked and converted; keys may be left out.

    hidden: fields of the class that are not keys.

    Raises:
        UserError: an unknown key or a wrong type.
    """
    hints = get_type_hints(cls)
    known = [f.name for f in _fields(cls) if f.name not in hidden]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise where.error(f"unknown key '{key}'{suggestion(key, known) or '; no keys are allowed here'}", key)
        try:
            values[key] = convert(hints[key], value, where.inside(key))
        except Mismatch as error:
            raise where.error(f"key '{_dotted(key, *error.keys)}' {error.problem}", key, *error.keys) from None
    return values


def with_settings(cls: type, params: Mapping[str, object], settings: Sequence[str]) -> dict[str, Any]:
    """Parameters with ``key=value`` settings of the command line on top, the last one winning.

    A value is read as TOML would, or as plain text where that does not fit.

    Raises:
        UserError: a setting without '=', of an unknown key, or of the wrong type.
    """
    hints = get_type_hints(cls)
    known = [f.name for f in _fields(cls)]
    values: dict[str, Any] = dict(params)
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not key:
            raise UserError(f"--set {setting}: write it as KEY=VALUE")
        if key not in known:
            raise UserError(f"--set {setting}: unknown key '{key}'{suggestion(key, known)}")
        values[key] = _setting(hints[key], text, f"--set {setting}: '{key}'")
    return values


def _setting(hint: Any, text: str, what: str) -> object:
    try:
        parsed: object = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        parsed = text
    try:
        return convert(hint, parsed, Where("--set"))
    except Mismatch as error:
        try:
            return convert(hint, text, Where("--set"))  # a text that looks like a number is still a text
        except Mismatch:
            raise UserError(f"{what} {error.problem}") from None


def convert(hint: Any, value: object, where: Where) -> Any:
    """A TOML value as the type a hint asks for.

    Raises:
        Mismatch: it is of another type. UserError: a nested table is wrong.
        TypeError: a hint that a table cannot express, which is the class's fault.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return _either(hint, arguments, value, where)
    if kind is Literal:
        return _one_of(arguments, value)
    if kind is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _items(hint, arguments[0], value, where)
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return _mapping(hint, arguments[1], value, where)
    if hint in (Any, object):
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return read_table(hint, value, where)
        raise _wrong(hint, value)
    if hint not in _PLAIN:
        raise TypeError(f"a table cannot hold a value of type {hint}")
    if not _is_plain(hint, value):
        raise _wrong(hint, value)
    return float(value) if hint is float else value  # type: ignore[arg-type]


def _either(hint: Any, choices: tuple[Any, ...], value: object, where: Where) -> Any:
    for choice in choices:
        try:
            return convert(choice, value, where)
        except Mismatch:
            continue
    raise _wrong(hint, value)


def _one_of(choices: tuple[Any, ...], value: object) -> object:
    if any(value == c and type(value) is type(c) for c in choices):
        return value
    near = did_you_mean(value, map(str, choices)) if isinstance(value, str) else ""
    raise Mismatch(f"must be {_described(Literal[choices])}, not {shown(value)}{near}")


def _items(hint: Any, inner: Any, value: object, where: Where) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(hint, value)
    made = []
    for index, item in enumerate(value):
        try:
            made.append(convert(inner, item, Where(where.file, where.text, where.table, index)))
        except Mismatch as error:
            raise Mismatch(error.problem, index, *error.keys) from None
    return tuple(made)


def _mapping(hint: Any, inner: Any, value: object, where: Where) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(hint, value)
    made = {}
    for key, item in value.items():
        try:
            made[key] = convert(inner, item, where.inside(key))
        except Mismatch as error:
            raise Mismatch(error.problem, key, *error.keys) from None
    return made


_PLAIN = {str: "a string", int: "an integer", float: "a number", bool: "true or false", types.NoneType: "nothing"}


def _is_plain(kind: type, value: object) -> bool:
    if isinstance(value, bool):  # Python counts True as an int; whoever writes true for a number made a mistake
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _wrong(hint: Any, value: object) -> Mismatch:
    return Mismatch(f"must be {_described(hint)}, not {shown(value)}")


def _described(hint: Any) -> str:
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join(_described(a) for a in arguments if a is not types.NoneType)
    if kind is Literal:
        return " or ".join(shown(a) for a in arguments)
    if kind is tuple:
        return "a list of strings" if arguments[0] is str else "a list"
    return _PLAIN.get(hint, "a table")


def shown(value: object) -> str:
    """A value as TOML would write it, in 60 characters at most."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dotted(*keys: str | int) -> str:
    return join_key(*(str(k) for k in keys))


def _fields(cls: type) -> list[Any]:
    return [f for f in fields(cls) if f.init]


def _has_default(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING
