"""The picture of docs/explanation/architecture.md, drawn from the page's table of rooms and the code's imports.

Run as a program, this file draws docs/explanation/architecture.svg anew; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from imports import Graph, graph

FOLDER = Path(__file__).parents[2] / "docs" / "explanation"
PAGE, PICTURE = FOLDER / "architecture.md", FOLDER / "architecture.svg"
WIDTH, LABEL, BOX, GAP, BAND = 1000, 130, (104, 34), 14, 84


def layers(page: str) -> dict[str, list[str]]:
    """Layer -> its rooms, from the table ``| layer | room | what it holds |``, top first."""
    found: dict[str, list[str]] = {}
    name = ""
    for cells in _table(page, "layer"):
        name = cells[0] or name
        found.setdefault(name, []).append(cells[1].strip("`"))
    return found


def exceptions(page: str) -> set[tuple[str, str]]:
    """The imports that the table ``| from | to | why |`` allows against the direction."""
    return {(cells[0].strip("`"), cells[1].strip("`")) for cells in _table(page, "from")}


def steps(page: str) -> dict[str, list[int]]:
    """Room -> the numbers of the steps of the data flow in which it has a part, from the numbered list."""
    found: dict[str, list[int]] = {}
    for number, text in re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", page, re.MULTILINE):
        for room in dict.fromkeys(re.findall(r"`(\w+)/?`", text)):
            found.setdefault(room, []).append(int(number))
    return found


def heights(found: Mapping[str, list[str]]) -> dict[str, int]:
    """Room -> height of its layer, 0 at the bottom."""
    return {room: len(found) - 1 - i for i, rooms in enumerate(found.values()) for room in rooms}


def essential(imports: Graph) -> set[tuple[str, str]]:
    """The imports without those that other imports imply (the transitive reduction)."""
    reach: dict[str, frozenset[str]] = {}

    def below(room: str) -> frozenset[str]:
        if room not in reach:
            reach[room] = frozenset().union(*({to} | below(to) for to in imports[room]))
        return reach[room]

    return {
        (room, to)
        for room, targets in imports.items()
        for to in targets
        if not any(to in below(other) for other in targets - {to})
    }


def picture(page: str, imports: Graph) -> str:
    """The SVG: a band a layer, a box a room, a line for each essential import, badges for the steps of the flow."""
    found, badges = layers(page), steps(page)
    places = _places(found)
    height = len(found) * BAND + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        "<title>The rooms of dsum_bench: imports go down only</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for i, layer in enumerate(found):
        top = 5 + i * BAND
        parts.append(f'<rect x="5" y="{top}" width="{WIDTH - 10}" height="{BAND - 8}" rx="6" fill="#f3f5f8"/>')
        parts.append(f'<text x="18" y="{top + BAND / 2}" font-size="14" fill="#56606e">{escape(layer)}</text>')
    lowest = list(found.values())[-1]
    for room, to in sorted(e for e in essential(imports) if e[1] not in lowest):
        (x, y), (u, v) = places[room], places[to]
        start, end, bend = y + BOX[1] / 2, v - BOX[1] / 2, (v - y) / 2
        path = f"M{x:.0f} {start:.0f} C{x:.0f} {start + bend:.0f} {u:.0f} {end - bend:.0f} {u:.0f} {end:.0f}"
        parts.append(f'<path d="{path}" fill="none" stroke="#9aa7b8" stroke-width="1.1"/>')
    for room, (x, y) in places.items():
        left, top = x - BOX[0] / 2, y - BOX[1] / 2
        fill = "#dbe9ff" if room in badges else "#ffffff"
        parts.append(
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="5" fill="{fill}" '
            'stroke="#5b6b80"/>'
        )
        parts.append(f'<text x="{x:.0f}" y="{y + 5:.0f}" font-size="13" text-anchor="middle">{escape(room)}</text>')
        if room in badges:
            told = ", ".join(map(str, badges[room]))
            parts.append(
                f'<text x="{left + BOX[0] - 4:.0f}" y="{top - 3:.0f}" font-size="11" text-anchor="end" '
                f'fill="#1d4ed8">{told}</text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(found: Mapping[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Room -> the middle of its box."""
    places = {}
    for i, rooms in enumerate(found.values()):
        wide = len(rooms) * (BOX[0] + GAP) - GAP
        start = LABEL + (WIDTH - LABEL - wide) / 2
        for k, room in enumerate(rooms):
            places[room] = (start + k * (BOX[0] + GAP) + BOX[0] / 2, 5 + i * BAND + (BAND - 8) / 2 + 4)
    return places


def _table(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose first heading is this, as cells."""
    match = re.search(rf"^\| {first} \|.*\n\|[-| ]+\|\n((?:\|.*\n)*)", page, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in match[1].splitlines()] if match else []


if __name__ == "__main__":
    PICTURE.write_text(picture(PAGE.read_text(encoding="utf-8"), graph()), encoding="utf-8")
