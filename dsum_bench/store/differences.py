"""What differs between the runs of a board: settings that are not those of most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from dsum_bench.store.records import BoardRow

LIMIT = "max_new_tokens"

SETTINGS: Mapping[str, Callable[[BoardRow], str]] = {
    "data": lambda row: f"{row.dataset} {row.split}",
    "prompt": lambda row: row.prompt or "",
    "prompt text": lambda row: f"text {row.prompt_digest}" if row.prompt_digest else "",
    "decoding": lambda row: row.decoding or "",
    "limit": lambda row: f"{row.decoding_params[LIMIT]} tokens" if row.decoding_params.get(LIMIT) else "",
    "numbers": lambda row: " ".join(part for part in (row.quantization, row.dtype) if part not in ("", "none")),
    "device": lambda row: "" if row.device in ("", "none") else row.device.partition(":")[0],
}
"""What to look at, in the order it is shown. Of whatever is common on a board, nothing is shown."""

SILENT = ("data", "prompt text")
"""Never told as common: the board's title names the data, and a digest tells nothing by itself."""


def how(rows: Sequence[BoardRow], data: str = "") -> list[str]:
    """What was done to the model of each row, with the settings in which it is not like most rows of the board, and
    with as much more as tells two rows of one model apart.

    data: what the board calls its data, ``DATASET SPLIT``; without it, what most rows do.
    """
    base = _base(rows, data)
    labels = [" ".join([row.treatment, *_deviations(row, base), *_params(row, rows)]) for row in rows]
    return _told_apart(rows, labels)


def how_by_model(rows: Sequence[BoardRow]) -> list[str]:
    """What was done to the model of each row, with as much more as tells two rows of one model apart."""
    return _told_apart(rows, [row.treatment for row in rows])


def common(rows: Sequence[BoardRow], data: str = "") -> tuple[str, ...]:
    """The settings that most rows share, if some row has others; else nothing. data: as for ``how``."""
    base = _base(rows, data)
    if not any(_deviations(row, base) for row in rows):
        return ()
    return tuple(value for name, value in base.items() if value and name not in SILENT)


def _base(rows: Sequence[BoardRow], data: str) -> dict[str, str]:
    """Each setting's most common value, of equally common ones the first. A row without a setting has no say, and one
    with quantised weights none in what numbers are common: it always says so."""
    base = {name: _most(value(row) for row in rows) for name, value in SETTINGS.items()}
    base["numbers"] = _most(SETTINGS["numbers"](row) for row in rows if row.quantization in ("", "none"))
    prompts = [row for row in rows if (row.prompt or "") == base["prompt"]]
    text = _most(SETTINGS["prompt text"](row) for row in prompts)
    return base | {"prompt text": text, "data": data or base["data"]}


def _deviations(row: BoardRow, base: Mapping[str, str]) -> list[str]:
    found = {name: value(row) for name, value in SETTINGS.items()}
    if found["prompt"] != base["prompt"]:
        found["prompt text"] = ""  # another name says that the text is another
    return [value for name, value in found.items() if value and value != base[name]]


def _params(row: BoardRow, rows: Sequence[BoardRow]) -> list[str]:
    """Parameters of the decoding that are not those of most rows with a decoding of that name."""
    alike = [r.decoding_params for r in rows if r.decoding == row.decoding]
    return [
        f"{name}={value}"
        for name, value in row.decoding_params.items()
        if name != LIMIT and str(value) != _most(str(params[name]) for params in alike if name in params)
    ]


def _told_apart(rows: Sequence[BoardRow], labels: Sequence[str]) -> list[str]:
    """labels, with what differs between rows of one model that are labelled the same; their keys where nothing does."""
    same: dict[tuple[str, str], list[BoardRow]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        same[row.model, label].append(row)
    return [
        " ".join([label, *_difference(row, same[row.model, label])]) for row, label in zip(rows, labels, strict=True)
    ]


def _difference(row: BoardRow, group: Sequence[BoardRow]) -> list[str]:
    if len(group) == 1:
        return []
    settings = [_all(r) for r in group]
    mine = _all(row)
    if settings.count(mine) > 1:
        return [row.run_id]
    return [value for i, value in enumerate(mine) if value and len({s[i] for s in settings}) > 1]


def _all(row: BoardRow) -> tuple[str, ...]:
    values = {name: value(row) for name, value in SETTINGS.items()}
    return (*values.values(), f"seed {row.seed}", f"revision {row.revision}" if row.revision else "")


def _most(values: Iterable[str]) -> str:
    counted = Counter(value for value in values if value)
    return max(counted, key=lambda value: counted[value]) if counted else ""
