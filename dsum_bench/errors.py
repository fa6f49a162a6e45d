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


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type where the message is empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that may have been meant by a misspelt one, nearest first."""
    names = sorted(known)
    return get_close_matches(name, names, n=limit, cutoff=0.5) or [n for n in names if name and name in n][:limit]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'a' or 'b'?``, or '' when no known name is near."""
    close = nearest(name, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did_you_mean``, or the list of known names when none is near."""
    known = sorted(known)
    return did_you_mean(name, known) or (f"; known: {', '.join(known)}" if known else "")
