"""Plots as plain text: intervals, distributions and curves that read at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsum_bench.errors import UserError
from dsum_bench.report.text import visible

Rows = Sequence[Mapping[str, Any]]

HEIGHT = 12
LEAST = 20
IN_TEXT = ("forest", "distribution", "curve")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a chart is drawn with."""

    line: str
    box: str
    point: str
    rule: str
    marks: str


UNICODE = Signs("─", "━", "●", "┆", "●○◆◇■□▲△")
ASCII = Signs("-", "=", "o", ":", "ox*+#%@&")


def text_plot(what: str, rows: Rows, width: int = 80, signs: Signs = UNICODE) -> str:
    """A plot in ``width`` columns.

    Raises:
        UserError: one that text cannot show.
    """
    if what not in IN_TEXT:
        raise UserError(f"text cannot show {what}: write it to a file with -o {what}.svg, or plot {', '.join(IN_TEXT)}")
    draw = {"forest": _forest, "distribution": _distribution, "curve": _curve}[what]
    return "\n".join(line.rstrip() for line in draw(rows, width, signs)) + "\n"


def _forest(rows: Rows, width: int, signs: Signs) -> Iterator[str]:
    from rich.cells import cell_len

    low, high = min(r["low"] for r in rows), max(r["high"] for r in rows)
    names, room = _names(rows, width, 8)
    scale = _Scale(low, high, room)
    control = rows[0]["control"]
    for row, name in zip(rows, names, strict=True):
        cells = [" "] * room
        if control is not None:
            cells[scale(control)] = signs.rule
        _fill(cells, scale(row["low"]), scale(row["high"]), signs.line)
        cells[scale(row["mean"])] = signs.point
        yield f"{name} {''.join(cells)} {row['mean']:7.2f}"
    yield _axis(scale, cell_len(names[0]) + 1)
    if control is not None:
        yield f"{signs.rule} best control, {control:.2f}; lines: 95 % intervals"


def _distribution(rows: Rows, width: int, signs: Signs) -> Iterator[str]:
    from rich.cells import cell_len

    names, room = _names(rows, width, 8)
    scale = _Scale(min(r["low"] for r in rows), max(r["high"] for r in rows), room)
    for row, name in zip(rows, names, strict=True):
        cells = [" "] * room
        _fill(cells, scale(row["low"]), scale(row["high"]), signs.line)
        _fill(cells, scale(row["quarter"]), scale(row["three_quarters"]), signs.box)
        cells[scale(row["median"])] = signs.point
        yield f"{name} {''.join(cells)} {row['median']:7.2f}"
    yield _axis(scale, cell_len(names[0]) + 1)
    yield f"{signs.point} median, {signs.box} middle half, {signs.line} 5 to 95 %"


def _curve(rows: Rows, width: int, signs: Signs) -> Iterator[str]:
    labels = list(dict.fromkeys(r["label"] for r in rows))
    low, high = min(r["value"] for r in rows), max(r["value"] for r in rows)
    steps = [r["step"] for r in rows]
    across, up = _Scale(min(steps), max(steps), width - 11), _Scale(low, high, HEIGHT)
    grid = [[" "] * (width - 11) for _ in range(HEIGHT)]
    for row in rows:
        mark = signs.marks[labels.index(row["label"]) % len(signs.marks)]
        grid[HEIGHT - 1 - up(row["value"])][across(row["step"])] = mark
    for place, cells in enumerate(grid):
        edge = f"{high:9.4g}" if place == 0 else f"{low:9.4g}" if place == HEIGHT - 1 else " " * 9
        yield f"{edge} |{''.join(cells)}"
    yield f"{' ' * 9} +{'-' * (width - 11)}"
    yield f"{' ' * 11}{min(steps):<{max(1, width - 11 - len(str(max(steps))))}}{max(steps)}"
    for place, label in enumerate(labels):
        yield f"{' ' * 11}{signs.marks[place % len(signs.marks)]} {visible(label, width - 14)}"


class _Scale:
    """From a value to a column of ``room``."""

    def __init__(self, low: float, high: float, room: int) -> None:
        self.low, self.high, self.room = low, high, room

    def __call__(self, value: float) -> int:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return min(self.room - 1, max(0, round(share * (self.room - 1))))


def _names(rows: Rows, width: int, right: int) -> tuple[list[str], int]:
    """Labels of one width, and the columns that are left between them and ``right`` columns of figures."""
    from rich.cells import cell_len, set_cell_size

    longest = max(cell_len(visible(str(r["label"]), 80)) for r in rows)
    room = max(LEAST, width - right - 1 - min(longest, width // 3))
    size = min(longest, max(4, width - right - 1 - room))
    return [set_cell_size(visible(str(r["label"]), 80), size) for r in rows], room


def _fill(cells: list[str], start: int, end: int, sign: str) -> None:
    for place in range(start, end + 1):
        cells[place] = sign


def _axis(scale: _Scale, left: int) -> str:
    from math import isclose

    first, last = f"{scale.low:.1f}", f"{scale.high:.1f}"
    if isclose(scale.low, scale.high):
        return " " * left + first.center(scale.room)
    middle = f"{(scale.low + scale.high) / 2:.1f}"
    gap = scale.room - len(first) - len(middle) - len(last)
    return f"{' ' * left}{first}{' ' * (gap // 2)}{middle}{' ' * (gap - gap // 2)}{last}"
