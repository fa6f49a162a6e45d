"""docs/reference/python.md, made from the docstrings of the public names.

Run as a program, this file writes the page anew; a test compares the page with what it would write.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dsum_bench

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
HEAD = """# Python

Everything that `from dsum_bench import ...` gives. Importing `dsum_bench` itself costs nothing: a name is loaded when
it is first used. Other modules of the package may change between versions without notice.

`python tests/support/python_page.py` makes this page from the docstrings; a test compares the two.
"""
TITLES = {
    "api": "Bench",
    "adapters": "Adapters",
    "engines": "Engines",
    "decoding": "Decoding strategies",
    "metrics": "Metrics",
    "checks": "Checks",
    "datasets": "Dataset formats",
    "postprocess": "Postprocessors",
    "training": "Trainers",
    "executors": "Executors",
    "spec": "Specifications and results",
    "machine": "The machine",
    "errors": "Errors",
}
"""Room -> heading, in the order of the page; a room that is not listed comes after these under its own name."""
WIDTH = 100
FIELD = re.compile(r"(\w+(?:, \w+)*): (?=\S)")


def page() -> str:
    """The whole page."""
    rooms: dict[str, list[str]] = {}
    for name, module in dsum_bench._MODULES.items():
        if name == "hookimpl":
            continue  # docs/reference/plugins.md has it
        rooms.setdefault(module.split(".")[1], []).append(name)
    order = [*(r for r in TITLES if r in rooms), *sorted(rooms.keys() - TITLES)]
    parts = [HEAD]
    for room in order:
        parts.append(f"## {TITLES.get(room, room.replace('_', ' ').capitalize())}\n")
        parts += [entry(name) for name in sorted(rooms[room])]
    return "\n".join(parts)


def entry(name: str) -> str:
    """One public name: its signature, docstring and public members."""
    thing = getattr(dsum_bench, name)
    if not inspect.isclass(thing):
        described = f"A type: `{_Bare(thing)!r}`." if _is_alias(thing) else ""
        return f"### `{name}`\n\n{described or _prose(inspect.getdoc(thing))}\n"
    lines = [f"### `{name}`\n"]
    if called := _signature(thing):
        lines.append(f"```text\n{_wrapped(name + called)}\n```\n")
    lines.append(_prose(inspect.getdoc(thing)))
    members = [f"- {line}" for line in _members(thing)]
    return "\n".join([*lines, *(["\nMethods and properties:\n", *members] if members else [])]) + "\n"


def undocumented() -> list[str]:
    """Public names, and methods and properties of public classes, without a docstring of their own."""
    found = []
    for name in dsum_bench._MODULES:
        thing = getattr(dsum_bench, name)
        if inspect.isclass(thing):
            if not vars(thing).get("__doc__"):
                found.append(name)
            if getattr(thing, "_is_protocol", False):
                continue  # its docstring describes its fields
            found += [f"{name}.{member}" for member, doc in _own(thing) if not doc]
    return sorted(found)


def _is_alias(thing: object) -> bool:
    return type(thing).__module__ in ("typing", "types", "collections.abc") and not inspect.isfunction(thing)


def _defined(cls: type) -> dict[str, Any]:
    """What a class defines itself or takes from base classes that are not public and so have no entry of their own."""
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("dsum_bench.")]
    hidden = [base for base in bases if base.__name__ not in dsum_bench._MODULES]
    return {name: member for owner in (*reversed(hidden), cls) for name, member in vars(owner).items()}


def _own(cls: type) -> Iterator[tuple[str, str | None]]:
    """Name and docstring of each public method and property of a class that no other entry describes."""
    for name, member in _defined(cls).items():
        if name.startswith("_") or inspect.isclass(member):
            continue
        inner = getattr(member, "__func__", member)
        if isinstance(member, property) or inspect.isfunction(inner):
            documented = any(inspect.getdoc(vars(base)[name]) for base in cls.__mro__ if name in vars(base))
            yield name, inspect.getdoc(getattr(cls, name)) if documented else None


def _members(cls: type) -> Iterator[str]:
    for name, doc in _own(cls):
        member = _defined(cls)[name]
        if not inspect.getdoc(member) or not getattr(member, "__doc__", None):
            continue  # the base class describes it
        if isinstance(member, property):
            yield f"`{name}`: {_inline(doc)}"
        else:
            called = _signature(getattr(cls, name), bound=not isinstance(member, staticmethod))
            yield f"`{name}{called}`: {_inline(doc)}"


def _wrapped(signature: str) -> str:
    """A signature that is too long for a line, one parameter a line."""
    if len(signature) <= WIDTH:
        return signature
    head, _, rest = signature.partition("(")
    inner, depth, parts = rest.rpartition(")")[0], 0, [""]
    for letter in inner:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return "\n".join([f"{head}(", *(f"    {part.strip()}," for part in parts), f"){rest.rpartition(')')[2]}"])


class _Bare(str):
    """An annotation that a signature prints without quotes."""

    def __repr__(self) -> str:
        return re.sub(r"\b(?:dsum_bench|collections|typing|pathlib|pandas)\.(?:[a-z_]\w*\.)*", "", self)


def _signature(thing: Callable[..., Any], bound: bool = False) -> str:
    """``(name: type = default, ...)`` as the code has it; '' where there is none to show."""
    if inspect.isclass(thing) and (issubclass(thing, BaseException) or getattr(thing, "_is_protocol", False)):
        return ""
    found = inspect.signature(thing)
    parameters = [_shown(p, thing) for p in found.parameters.values() if not (bound and p.name == "self")]
    returned = found.empty if inspect.isclass(thing) else _Bare(found.return_annotation)
    return str(found.replace(parameters=parameters, return_annotation=returned))


def _shown(parameter: inspect.Parameter, owner: Any) -> inspect.Parameter:
    """A parameter with its type in plain words, and with what a default factory makes."""
    if parameter.annotation is not parameter.empty:
        parameter = parameter.replace(annotation=_Bare(parameter.annotation))
    for field in dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ():
        if field.name == parameter.name and field.default_factory is not dataclasses.MISSING:
            parameter = parameter.replace(default=field.default_factory())
    return parameter


def _prose(doc: str | None) -> str:
    """A docstring as Markdown: code in single backticks; fields, ``Raises:`` and its like as lists."""
    blocks = re.split(r"\n\s*\n", re.sub(r"``(.+?)``", r"`\1`", doc or "", flags=re.DOTALL).strip())
    return "\n\n".join(map(_block, blocks))


def _block(text: str) -> str:
    """A paragraph of a docstring; one that begins with ``name: ...`` describes fields, a line each."""
    title = re.match(r"(?:Args|Raises|Returns|Yields):\n", text)
    lines = inspect.cleandoc(text[title.end() :]).split("\n") if title else text.split("\n")
    if not title and not FIELD.match(lines[0]):
        return text
    items: list[str] = []
    for line in lines:
        if items and not FIELD.match(line):
            items[-1] += f" {line.strip()}"
        else:
            items.append(f"- {FIELD.sub(lambda m: f'`{m[1]}`: ', line)}")
    return "\n".join([f"{title[0].strip()}\n"] if title else []) + "\n".join(["", *items] if title else items)


def _inline(doc: str | None) -> str:
    """A member's docstring in one paragraph."""
    return re.sub(r"(?<=[.:]) - (?=`)", " ", " ".join(_prose(doc).split()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
