"""The three ways things go wrong, each a sentence for a person."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Wrong usage or input: printed as one sentence, exit code 2, no traceback."""


class ModelError(Exception):
    """One model cannot be screened; it is stored as failed with this reason and the sweep goes on."""


class ModelSkipped(Exception):
    """One model cannot run on this machine (no memory, hub unreachable); no fault of anybody's."""


def nearest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """A hint for a name that is not known: ``; did you mean 'a' or 'b'?``, else the names there are."""
    names = sorted(known)
    close = get_close_matches(name, names, n=limit, cutoff=0.5) or [n for n in names if name and name in n][:limit]
    if close:
        return "; did you mean " + " or ".join(f"'{n}'" for n in close) + "?"
    return f"; known: {', '.join(names)}" if names else ""
