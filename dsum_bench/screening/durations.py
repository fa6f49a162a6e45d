"""Durations as people type them."""

from __future__ import annotations

from dsum_bench.errors import UserError


def parse_duration(text: str) -> float:
    """``90``, ``90s``, ``30m`` or ``2h`` as seconds. Raises UserError for anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UserError(f"'{text}' is not a valid duration; give seconds, or a number with s, m or h, such as 30m")
    return seconds
