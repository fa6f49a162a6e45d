"""Which room of the package imports which: read from the code, function bodies included."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "dsum_bench"
Graph = Mapping[str, frozenset[str]]
"""Room -> the rooms that it imports. A room is a folder or a module directly inside the package."""


def graph(package: Path = PACKAGE) -> dict[str, frozenset[str]]:
    """The imports between rooms. What only a type checker reads (``if TYPE_CHECKING:``) does not count."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        room = "cli" if parts[0] == "__main__" else parts[0]
        found[room] |= {target for target in _targets(file, package) if target != room}
    return {room: frozenset(targets) for room, targets in found.items()}


def _targets(file: Path, package: Path) -> Iterator[str]:
    """The rooms that a file imports."""
    for node in _running(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == package.name:
                room = rest.partition(".")[0]
                # A name of the package's own __init__ (hookimpl, Sample) is no room.
                inside = (package / room).is_dir() or (package / f"{room}.py").is_file()
                yield room if room and inside else "__init__"


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _running(other)
        else:
            yield node
            yield from _running(node)


def cycles(imports: Graph) -> list[list[str]]:
    """Groups of rooms that import each other, directly or by way of others (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(room: str) -> None:
        index[room] = low[room] = len(index)
        stack.append(room)
        for target in sorted(imports.get(room, ())):
            if target not in index:
                visit(target)
                low[room] = min(low[room], low[target])
            elif target in stack:
                low[room] = min(low[room], index[target])
        if low[room] == index[room]:
            at = stack.index(room)
            group = sorted(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for room in sorted(imports):
        if room not in index:
            visit(room)
    return found


def upward(imports: Graph, layers: Mapping[str, int]) -> set[tuple[str, str]]:
    """The imports that do not go to a lower layer, as (room, imported room)."""
    return {(room, to) for room, targets in imports.items() for to in targets if layers[to] >= layers[room]}
