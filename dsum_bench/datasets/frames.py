"""Dialogues given as pandas DataFrames instead of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsum_bench.datasets.base import DatasetReader, Row
from dsum_bench.errors import UserError, suggestion
from dsum_bench.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "frame"
ID = "id"
IDS = ("id", "fname")
"""Columns that are taken for the sample's id, in this order; without one, the index is."""


Frames = Mapping[str, Mapping[str, "pd.DataFrame"]]
"""Dataset -> split -> its rows."""


def frame_spec(
    name: str,
    frames: Mapping[str, pd.DataFrame],
    columns: Mapping[str, str | Sequence[str]] | None,
    language: str,
) -> DatasetSpec:
    """The entry of a dataset in memory.

    frames: split -> rows; the default split is ``dev`` where there is one, else the first.
    columns: our name (id, dialogue, summary, topic) -> the frame's column, or columns for summary.
    """
    given = {k: v if isinstance(v, str) else tuple(v) for k, v in (columns or {}).items()}
    first = next(iter(frames.values()))
    if "id" not in given:
        given["id"] = next((c for c in IDS if c in first.columns), ID)
    split = "dev" if "dev" in frames else next(iter(frames))
    return DatasetSpec(name, FORMAT, "", given, language, default_split=split, origin="DataFrame")


def frame_reader(frames: Frames) -> type[DatasetReader]:
    """The dataset format of DataFrames, for one bench. frames may grow afterwards."""

    class FrameReader(DatasetReader):
        """Rows of DataFrames. Missing values (None, NaN, NA) count as absent."""

        name = FORMAT

        def splits(self) -> tuple[str, ...]:
            return tuple(sorted(frames[self.spec.name]))

        def rows(self, split: str) -> Iterator[Row]:
            known = frames[self.spec.name]
            if split not in known:
                raise UserError(f"dataset '{self.spec.name}' has no split '{split}'{suggestion(split, known)}")
            return frame_rows(known[split], self.spec.name, str(self.spec.columns["id"]))

    return FrameReader


def frame_rows(frame: pd.DataFrame, name: str, id_column: str = ID) -> Iterator[Row]:
    """The rows of a DataFrame. Where it has no column ``id``, its index is taken for that."""
    indexed = id_column == ID and id_column not in frame.columns
    for position, (index, values) in enumerate(zip(frame.index, frame.to_dict("records"), strict=True), 1):
        row: dict[str, Any] = {str(k): _plain(v) for k, v in values.items()}
        if indexed:
            row[ID] = str(index)
        yield Row(f"DataFrame '{name}', row {position}", row)


def _plain(value: Any) -> Any:
    """A cell as JSON would have it: numpy scalars become Python's, missing values None."""
    if isinstance(value, list | tuple | dict | str):
        return list(value) if isinstance(value, tuple) else value
    if value is None or value != value or repr(value) == "<NA>":
        return None
    return value.item() if hasattr(value, "item") else value
