"""What a data file holds, guessed from its rows: columns, turns, encoding, splits. Nothing is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsum_bench.datasets.base import Row
from dsum_bench.datasets.formats import BY_SUFFIX
from dsum_bench.datasets.huggingface import HUB, HuggingFaceReader
from dsum_bench.datasets.nested import dialogue_of
from dsum_bench.dialogue import MASK, split_turns
from dsum_bench.errors import UserError
from dsum_bench.spec import DatasetSpec

LOOKED_AT = 500
"""Rows that a guess is made from; ids are compared in all of them."""
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
}
OTHER_ENCODINGS = ("johab",)
"""Tried where ``auto`` (UTF-8, UTF-16, CP949) cannot read a file."""

IDS = ("id", "fname", "filename", "file", "uid", "idx", "index", "no", "번호")
DIALOGUES = (
    "dialogue",
    "dialog",
    "conversation",
    "대화",
    "utterances",
    "turns",
    "messages",
    "transcript",
    "chat",
    "source",
)
SUMMARIES = (
    "summary",
    "summaries",
    "요약",
    "output",
    "reference",
    "references",
    "target",
    "highlights",
    "abstract",
    "label",
)
TOPICS = ("topic", "subject", "keyword", "keywords", "category", "주제", "domain")
SPLITS = ("train", "training", "dev", "valid", "validation", "val", "test", "eval")
DEFAULTS = ("dev", "validation", "valid", "val", "eval", "test", "train")
"""Splits in the order in which one is taken for the default."""
TURNS = (
    r"\([^()\n]{1,20}\)\s*", r"<[^<>\n]{1,20}>\s*", r"\[[^\[\]\n]{1,20}\]\s*", r"【[^】\n]{1,20}】\s*",
    r"[^\s<>][^<>\n]{0,19}>\s*", r"[^\s|][^|\n]{0,19}\|\s*", r"[^\s\t][^\t\n]{0,19}\t", r"\w{1,12};\s*",
    r"\w{1,12} ?[-–—]\s+", r"\w{1,12}=\s*", r"[-–—]\s+",
)  # fmt: skip
"""What turns begin with in files that do not write ``name:``, as regular expressions, the stricter first."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A dataset's entry as far as its file shows it. rows: those looked at; notes: sentences for whoever reads it."""

    spec: DatasetSpec
    rows: int
    notes: tuple[str, ...]


def guess(file: Path, name: str | None = None) -> Guess:
    """What an entry of this file must say; of a folder in a layout of Hugging Face, or ``hub:OWNER/NAME``, too.

    Raises:
        UserError: the file cannot be read, or no column can be the id or the dialogue.
    """
    bare, rows = _opened(file)
    if not rows:
        raise UserError(f"{file} has no rows")
    bare = replace(bare, name=name or bare.name)
    if file.suffix.lower() == ".json" and {"input.conversation", "output"} <= rows[0].values.keys():
        return Guess(replace(bare, format="nikl"), len(rows), ("the layout of NIKL's dialogue summaries",))
    columns, notes = _columns(rows, str(file))
    dialogues = [text for row in rows if (text := _dialogue(row, columns["dialogue"]))]
    turns, said = _turns(dialogues)
    named = {ours: column for ours, column in columns.items() if column != ours}
    spec = replace(bare, columns=named, language=_language(dialogues), turns=turns)
    return Guess(spec, len(rows), (*notes, *said))


def _opened(file: Path) -> tuple[DatasetSpec, list[Row]]:
    """What can be told without looking at the rows, and the first of them."""
    if str(file).startswith(HUB) or file.is_dir():
        spec = DatasetSpec(_name(file), HuggingFaceReader.name, str(file))
        reader = HuggingFaceReader(spec)
        splits = reader.splits()
        default = next((s for s in DEFAULTS if s in splits), splits[0])
        return replace(spec, default_split=default), list(_first(reader.rows(default)))
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{file}: the name of a data file must end in {', '.join(FORMATS)}")
    rows, encoding = _read(file, suffix)
    path, default = _pattern(file)
    return DatasetSpec(_name(file), FORMATS[suffix], path, encoding=encoding, default_split=default), rows


def _read(file: Path, suffix: str) -> tuple[list[Row], str]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    try:
        return list(_first(BY_SUFFIX[suffix](data, str(file), "auto"))), "auto"
    except UserError as wrong:
        for encoding in OTHER_ENCODINGS:
            try:
                rows = list(_first(BY_SUFFIX[suffix](data, str(file), encoding)))
            except UserError:
                continue
            if rows and _hangul("".join(str(v) for row in rows for v in row.values.values())) > 0.2:
                return rows, encoding
        raise wrong from None


def _first(rows: Iterator[Row]) -> Iterator[Row]:
    return (row for _, row in zip(range(LOOKED_AT), rows, strict=False))


# -- columns ----------------------------------------------------------------------------------------------------


def _columns(rows: Sequence[Row], file: str) -> tuple[dict[str, str | tuple[str, ...]], list[str]]:
    names = [n for n in dict.fromkeys(n for row in rows for n in row.values) if n]
    dialogue = _best(names, lambda n: _as_dialogue(n, rows))
    if dialogue is None:
        raise UserError(f"{file}: no column contains dialogues; the columns are {', '.join(names)}")
    rest = [n for n in names if n != dialogue and not n.startswith(f"{dialogue}.")]
    identity = _best(rest, lambda n: _as_id(n, rows))
    if identity is None:
        raise UserError(f"{file}: no column has a unique value in each row; add an id column")
    rest = [n for n in rest if n != identity]
    summaries = _references(rest, rows, dialogue)
    rest = [n for n in rest if n not in summaries]
    topic = _best(rest, lambda n: _named(n, TOPICS) if _filled(n, rows, str) or _filled(n, rows, list) else 0)
    found: dict[str, str | tuple[str, ...]] = {"id": identity, "dialogue": dialogue}
    notes = []
    if summaries:
        found["summary"] = summaries[0] if len(summaries) == 1 else tuple(summaries)
        empty = sum(not any(_text(row.values.get(n)) for n in summaries) for row in rows)
        notes += [f"{empty} of {len(rows)} rows have no reference"] if empty else []
    else:
        notes.append("no column contains references; screen needs them, predict does not")
    if topic is not None:
        found["topic"] = topic
    return found, notes


def _best(names: Sequence[str], points: Callable[[str], float]) -> str | None:
    """The name with the most points; None where none has any."""
    rated = [(points(n), -place, n) for place, n in enumerate(names)]
    best = max(rated, default=(0.0, 0, ""))
    return best[2] if best[0] > 0 else None


def _named(column: str, words: Sequence[str]) -> float:
    """2 for a word itself, 1 for a name that begins or ends with one, less for words further back; 0 for none."""
    last = re.sub(r"[\s_-]+", "_", column.rpartition(".")[2].strip().lower())
    for place, word in enumerate(words):
        if last == word:
            return 2 - place / 100
        if re.fullmatch(rf"{word}[_\d]\w*|\w*_{word}\d*", last) or (len(word) > 3 and last.startswith(word)):
            return 1 - place / 100
    return 0


def _as_dialogue(column: str, rows: Sequence[Row]) -> float:
    texts = [text for row in rows if (text := _dialogue(row, column))]
    if len(texts) < len(rows) / 2:
        return 0
    as_list = isinstance(rows[0].values.get(column), list)
    several = sum(len(split_turns(t)) > 1 for t in texts) / len(texts)
    lines = sum("\n" in t for t in texts) / len(texts)
    named = _named(column, DIALOGUES)
    long = sum(map(len, texts)) / len(texts)
    words = as_list and any(isinstance(v, Mapping) for v in _list(rows[0].values.get(column)))
    if not (named or several or lines or words):
        return 0
    return 4 * words + 2 * several + lines + named + min(long, 2000) / 1000 - 2 * bool(_named(column, SUMMARIES))


def _as_id(column: str, rows: Sequence[Row]) -> float:
    values = [row.values.get(column) for row in rows]
    texts = [str(v).strip() for v in values if isinstance(v, str | int) and not isinstance(v, bool)]
    if len(texts) < len(rows) or len(set(texts)) < len(rows) or not all(texts) or max(map(len, texts)) > 100:
        return 0
    plain = not any(c.isspace() for t in texts for c in t)
    last = column.rpartition(".")[2].lower()
    named = _named(column, IDS) or (0.9 if last.endswith("id") else 0)
    return named + 0.1 * plain if named or plain else 0


def _references(names: Sequence[str], rows: Sequence[Row], dialogue: str) -> list[str]:
    """Columns of references: all of the best kind of name (``summary1``, ``summary2``), else the likeliest text."""
    length = _mean_length(dialogue, rows)
    able = [
        n for n in names if 0 < _mean_length(n, rows) < length and (_filled(n, rows, str) or _filled(n, rows, list))
    ]
    named = {n: word for n in able for word in SUMMARIES if _named(n, (word,))}
    if named:
        first = min(named.values(), key=SUMMARIES.index)
        same = [n for n in able if named.get(n) == first]
        exact = [n for n in same if _named(n, (first,)) >= 2]
        numbered = [n for n in same if re.search(r"\d$", n)]
        return exact[:1] if exact and not numbered else numbered or same[:1]
    sentences = [n for n in able if _mean_length(n, rows) >= 15 and not _named(n, (*TOPICS, *IDS)) and _varied(n, rows)]
    return [max(sentences, key=lambda n: _mean_length(n, rows))] if sentences else []


def _varied(column: str, rows: Sequence[Row]) -> bool:
    texts = [t for row in rows if (t := _text(row.values.get(column)))]
    return len(set(texts)) > len(texts) / 2 and sum(" " in t for t in texts) > len(texts) / 2


def _filled(column: str, rows: Sequence[Row], kind: type) -> bool:
    return any(isinstance(row.values.get(column), kind) and row.values.get(column) for row in rows)


def _mean_length(column: str, rows: Sequence[Row]) -> float:
    texts = [t for row in rows if (t := _dialogue(row, column) or _text(row.values.get(column)))]
    return sum(map(len, texts)) / len(texts) if texts else 0


def _dialogue(row: Row, column: str | tuple[str, ...]) -> str:
    value = row.values.get(str(column))
    return (dialogue_of(value) or "") if isinstance(value, list) else _text(value)


def _text(value: object) -> str:
    if isinstance(value, list):
        value = next((v for v in value if isinstance(v, str)), "")
    return value.strip() if isinstance(value, str) else ""


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# -- turns, language, name and splits -----------------------------------------------------------------------------


def _turns(dialogues: Sequence[str]) -> tuple[str, list[str]]:
    """A pattern for what turns begin with, '' where the usual forms do, and what to say of it."""
    usual = sum(len(split_turns(d)) > 1 for d in dialogues)
    if usual >= len(dialogues) / 2:
        return "", [f"turns are found in {usual} of {len(dialogues)} dialogues"]
    for pattern in TURNS:
        fits = [sum(bool(re.match(pattern, line)) for line in d.split("\n")) for d in dialogues]
        good = sum(n > 1 and n >= len(d.split("\n")) / 2 for n, d in zip(fits, dialogues, strict=True))
        if good >= 0.8 * len(dialogues):
            return pattern, [f"turns are found by a custom pattern in {good} of {len(dialogues)} dialogues"]
    some = f"turns are found in only {usual} of {len(dialogues)} dialogues"
    return "", [f"{some}; set the pattern that starts a turn, turns = '...', or each dialogue is one turn"]


def _language(dialogues: Sequence[str]) -> str:
    return "ko" if _hangul(MASK.sub("", "".join(dialogues[:50]))) > 0.2 else "en"


def _hangul(text: str) -> float:
    """The share of Hangul among the letters of a text."""
    kinds = Counter("가" <= c <= "힣" for c in text if c.isalpha())
    return kinds[True] / max(kinds.total(), 1)


def _split_in(stem: str) -> re.Match[str] | None:
    return re.search(rf"(?<![A-Za-z])({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![A-Za-z])", stem, re.I)


def _pattern(file: Path) -> tuple[str, str]:
    """The path with ``{split}`` in the name's place where there is one, and the default split."""
    found = _split_in(file.stem)
    if found is None:
        return file.as_posix(), "dev"
    before, after = file.stem[: found.start()], file.stem[found.end() :] + file.suffix
    there = [s for s in DEFAULTS if file.with_name(f"{before}{s}{after}").is_file()]
    pattern = file.with_name(f"{before}{{split}}{after}").as_posix()
    return pattern, there[0] if there else found[0]


def _name(file: Path) -> str:
    """A name for the dataset: the file's, without split; the folder's where nothing is left of it."""
    found = _split_in(file.stem)
    stem = file.stem if found is None else file.stem[: found.start()] + file.stem[found.end() :]
    stem = re.sub(r"\d+-of-\d+", "", stem)
    for word in (stem, *(part for part in reversed(file.absolute().parent.parts) if part != "data")):
        name = re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")
        if name:
            return name
    return "mine"
