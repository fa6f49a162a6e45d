"""Timing things against each other on one machine: interleaved, as ratios, with their spread."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ours, theirs: seconds of each repeat, of the same work."""

    what: str
    peer: str
    ours: Sequence[float]
    theirs: Sequence[float]
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """How many times as long the peer takes, by repeat."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


def interleaved(peers: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each peer, in rounds: whatever disturbs the machine for a while disturbs all of them."""
    found: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeats):
        for name, work in peers.items():
            start = perf_counter()
            work()
            found[name].append(perf_counter() - start)
            print(f"  {name}: {found[name][-1]:.3f} s", flush=True)
    return found


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: medians, and the smallest and largest ratio."""
    lines = [
        "| what | ours, s | peer | peer, s | peer takes | from-to | |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for row in rows:
        ratios = row.ratios
        lines.append(
            f"| {row.what} | {median(row.ours):.3g} | {row.peer} | {median(row.theirs):.3g} | "
            f"**{median(ratios):.2f} x** | {min(ratios):.2f}-{max(ratios):.2f} | {row.note} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> str:
    """One line on where this ran."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, {packages}"
