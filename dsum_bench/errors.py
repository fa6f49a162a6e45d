"""The three ways things go wrong, each a sentence for a person."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from threading import Lock
from typing import TextIO


class UserError(Exception):
    """Wrong usage or input: printed as one sentence, exit code 2, no traceback."""


class Terminated(KeyboardInterrupt):
    """This process was asked to end by a signal, and ends as after Ctrl-C; exit code 128 + its number, as shells do.

    Its argument is the signal's number.
    """

    @property
    def exit_code(self) -> int:
        return 128 + int(self.args[0])


class ModelError(Exception):
    """One model cannot be screened; it is stored as failed with this reason, and the sweep continues."""


class ModelSkipped(Exception):
    """One model cannot run on this machine (no memory, hub unreachable), which is no fault of the model."""


INTERRUPTED = "interrupted; the same command resumes it"
"""Reason of a run whose process ended before it did."""


def ending_reason(error: BaseException) -> str:
    """Why runs that were going on when error was raised have ended."""
    if isinstance(error, Terminated):
        return f"interrupted by {signal.Signals(error.args[0]).name}; the same command resumes it"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"


class _StandardOutput:
    """Leads standard output to standard error while any thread is inside.

    ``contextlib.redirect_stdout`` would not do: threads leave in another order than they come.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before: TextIO = sys.stdout

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before, sys.stdout = sys.stdout, sys.stderr
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.stdout = self._before


_aside = _StandardOutput()


@contextmanager
def plugin_code() -> Iterator[None]:
    """Around code that may be a plugin's: what it prints goes to standard error, and sys.exit is a fault of its own.

    Raises:
        RuntimeError: instead of SystemExit.
    """
    try:
        with _aside:
            yield
    except SystemExit as error:
        raise RuntimeError(f"it called sys.exit({'' if error.code is None else repr(error.code)})") from error


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
