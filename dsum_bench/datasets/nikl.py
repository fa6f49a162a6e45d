"""Everyday-dialogue summaries in the layout of the National Institute of Korean Language (NIKL): reading and filling.

A file is a JSON array of objects: ``id``; ``input.conversation``, a list of ``speaker`` and ``utterance``;
``input.subject_keyword``, a list of strings; ``output``, the summary, which a test file leaves empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from dsum_bench.datasets.base import Row
from dsum_bench.datasets.decode import decode
from dsum_bench.datasets.formats import Records
from dsum_bench.datasets.readers import EmbeddedReader, LocalFiles
from dsum_bench.errors import UserError
from dsum_bench.spec import DatasetSpec

BOM = "\ufeff"
INDENT = 4


class NiklReader(LocalFiles):
    """The nested JSON arrays of NIKL's everyday-dialogue summaries, in files or inside an installed package.

    A turn is a line ``SPEAKER: what was said``; utterances that follow each other and have one speaker are one turn.
    The keywords are the topic, joined by commas, and stand in ``keywords`` too.
    """

    name = "nikl"

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        inside = ":" in spec.path and not spec.path.startswith(("/", "\\")) and spec.path.index(":") > 1
        self._package = EmbeddedReader(spec) if inside else None

    def _files(self) -> Any:
        return self._package._files() if self._package else super()._files()

    def _nothing(self) -> str:
        return self._package._nothing() if self._package else super()._nothing()

    def _records(self, file: str) -> Records:
        return nikl_records


def nikl_records(data: bytes, file: str, encoding: str) -> Iterator[Row]:
    """Records of such a file: ``id``, ``dialogue``, ``topic``, ``keywords``, and ``summary`` where it is filled.

    Raises:
        UserError: it is not of this layout; names file, row and key.
    """
    for number, record in enumerate(_array(decode(data, encoding, file, lambda before: 0), file), 1):
        where = f"{file}, row {number}"
        given = _of(record, "input", dict, where)
        turns = _of(given, "conversation", list, where, "input.")
        keywords = given.get("subject_keyword") or []
        keywords = [keywords] if isinstance(keywords, str) else keywords
        if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
            raise UserError(f"{where}, key 'input.subject_keyword': must be a list of strings")
        values: dict[str, object] = {"id": record.get("id"), "dialogue": _dialogue(turns, where)}
        if keywords:
            values |= {"topic": ", ".join(keywords), "keywords": keywords}
        if record.get("output"):
            values["summary"] = record["output"]
        yield Row(where, values)


def _dialogue(turns: Sequence[Any], where: str) -> str:
    said = []
    for number, turn in enumerate(turns, 1):
        place = f"{where}, key 'input.conversation', item {number}"
        if not isinstance(turn, dict):
            raise UserError(f"{place}: must be an object with 'speaker' and 'utterance'")
        speaker, words = (_of(turn, key, str, place) for key in ("speaker", "utterance"))
        said.append((speaker.strip(), " ".join(words.split())))
    grouped = groupby(said, key=lambda turn: turn[0])
    return "\n".join(f"{speaker}: {' '.join(words for _, words in parts if words)}" for speaker, parts in grouped)


def _of(record: Any, key: str, kind: type, where: str, before: str = "") -> Any:
    value = record.get(key)
    if not isinstance(value, kind):
        names: dict[Any, str] = {dict: "an object", list: "a list", str: "a string"}
        told = "is missing" if value is None else f"must be {names[kind]}"
        raise UserError(f"{where}: key '{before}{key}' {told}; is it a file of NIKL's dialogue summaries?")
    return value


def _array(text: str, file: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: not valid JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise UserError(f"{file}: JSON nested too deeply") from None
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise UserError(f"{file}: a file of NIKL's dialogue summaries holds one array of objects")
    return found


# -- filling ----------------------------------------------------------------------------------------------------


def filled(data: bytes, file: str, summaries: Mapping[str, str]) -> bytes:
    """The file with ``output`` filled: the same structure, order and ids; UTF-8, unescaped, indented by 4.

    A file that is written so keeps every byte but those of ``output``.

    summaries: by id.

    Raises:
        UserError: it is not of this layout, has an id twice, or one that has no summary or an empty one; names some.
    """
    text = decode(data, "auto", file, lambda before: 0)
    records = _array(text, file)
    ids = [str(record.get("id")) for record in records]
    twice = next((i for i in ids if ids.count(i) > 1), None)
    if twice is not None:
        raise UserError(f"{file}: id '{twice}' occurs twice")
    lacking = [i for i in ids if not summaries.get(i, "").strip()]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise UserError(f"{file}: no summary for {len(lacking)} of {len(ids)} ids: {', '.join(lacking[:3])}{more}")
    for record, sample_id in zip(records, ids, strict=True):
        record["output"] = summaries[sample_id]
    end = text[len(text.rstrip()) :]
    written = json.dumps(records, ensure_ascii=False, indent=INDENT) + end
    if "\r\n" in text:
        written = written.replace("\r\n", "\n").replace("\n", "\r\n")
    mark = BOM if data.startswith(BOM.encode("utf-8")) else ""
    return (mark + written).encode("utf-8", "surrogatepass")
