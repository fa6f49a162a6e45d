"""Databases that an older version wrote, as readers see them: nothing is changed until somebody writes."""

from __future__ import annotations

import sqlite3

INTERVALS = """
create temp view aggregates as
select run_id, signature_id, measure, mean, n, null as low, null as high from main.aggregates
"""
FINDINGS = """
create temp view findings as
select '' as run_id, '' as stage, 0 as position, '' as code, '' as level, '' as mark, '' as text, 0 as hit, 0 as total,
    '' as signature where false
"""


def show_missing(db: sqlite3.Connection) -> None:
    """Let this connection see what the first versions did not store yet: no findings and no intervals.

    A name is looked up among the temporary ones first. What later versions added is optional where it is read.
    """
    if not list(db.execute("pragma main.table_info(findings)")):
        db.execute(FINDINGS)
    if "low" not in {row[1] for row in db.execute("pragma main.table_info(aggregates)")}:
        db.execute(INTERVALS)
