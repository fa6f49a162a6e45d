"""Rows as CSV that every reader takes apart in the same way."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, each ended by a line feed.

    A row that holds a carriage return is quoted throughout: the csv module leaves that character bare where lines end
    in line feeds, and readers then take it for the end of a row.
    """
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in str(field) for field in row) else plain).writerow(row)
    return text.getvalue()
