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
    """Seconds of each peer, in rounds: whatever disturbs the machine for a while disturbs all of them.

    Every other round goes backwards, so that none always follows the same one.
    """
    found: dict[str, list[float]] = {name: [] for name in peers}
    for turn in range(repeats):
        for name, work in list(peers.items())[:: -1 if turn % 2 else 1]:
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
            f"**{shown(median(ratios))} x** | {shown(min(ratios))}-{shown(max(ratios))} | {row.note} |"
        )
    return "\n".join(lines)


def shown(ratio: float) -> str:
    """Two decimals, three where it is about one."""
    return f"{ratio:.3f}" if 0.9 < ratio < 1.1 else f"{ratio:.2f}"


def machine(threads: int) -> str:
    """One line on where this ran."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    return f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, {packages}"
