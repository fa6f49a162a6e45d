"""CSV that the csv module, pandas and spreadsheets take apart in the same way."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.datasets.csv_text import csv_text

fields = st.text(st.sampled_from('가a ,"\r\n\t\x0b\x1c\x85\u2028'), max_size=6)


@given(st.lists(st.tuples(fields, fields), max_size=5))
def test_rows_come_back_from_the_csv_module(rows: list[tuple[str, str]]) -> None:
    assert list(csv.reader(io.StringIO(csv_text(rows), newline=""))) == [list(row) for row in rows]


@pytest.mark.parametrize("summary", ["앞\r뒤", "앞\r\n뒤", "\r", "앞\n뒤", 'a "b", c'])
def test_pandas_reads_as_many_rows_as_were_written(summary: str) -> None:
    rows = [("fname", "summary"), ("t1", summary), ("t2", "네")]
    found = pd.read_csv(io.StringIO(csv_text(rows)), keep_default_na=False)
    assert found.to_numpy().tolist() == [["t1", summary], ["t2", "네"]]


def test_plain_rows_are_written_as_ever() -> None:
    assert csv_text([("", "fname"), (0, "a,b")]) == ',fname\n0,"a,b"\n'
