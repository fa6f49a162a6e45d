"""How numbers and times are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

GIB = 2**30


def params(count: int | None) -> str:
    """Number of weights in three digits: ``135M``, ``3.21B``; nothing for a control, ``?`` when unknown."""
    if count is None:
        return "?"
    if count == 0:
        return ""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        # 999,500 and more would be written 1000K
        if count >= size * 0.9995:
            return f"{count / size:#.3g}".rstrip(".") + unit
    return str(count)


def members(weights: Mapping[str, float]) -> str:
    """Members of an ensemble with their shares, such as ``0.60 a + 0.40 b``; nothing without any."""
    total = sum(weights.values())
    return " + ".join(f"{weight / total:.2f} {name}" for name, weight in weights.items())


def score(value: float | None) -> str:
    """A score on the scale of 100, two decimals; nothing where there is none."""
    return "" if value is None else f"{value:.2f}"


def interval(ends: tuple[float, float] | None) -> str:
    """A 95 % interval in one decimal: ``46.6-48.2``."""
    return "" if ends is None else f"{ends[0]:.1f}-{ends[1]:.1f}"


def difference(mean: float, low: float, high: float) -> str:
    """A difference with its 95 % interval, whose ends are infinite where too few samples bound nothing."""
    ends = f"95 % interval {low:+.2f} to {high:+.2f}" if isfinite(low) else "no 95 % interval"
    return f"{mean:+.2f}, {ends}"


def seconds(value: float | None) -> str:
    """Seconds in four digits or fewer: ``0.04``, ``1.52``, ``31.0``, ``240``."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def gibibytes(size: int) -> str:
    """Bytes as GiB without the unit; nothing for 0, which means not measured."""
    return seconds(size / GIB) if size else ""


def moment(stamp: str) -> str:
    """A stored time for people: ``2026-11-23 07:07 UTC``."""
    return f"{stamp[:16].replace('T', ' ')} UTC"


def size(count: int) -> str:
    """A number of bytes for a person, in GB (1e9) or MB (1e6)."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Seconds for a person: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
