"""Answers of judges, kept as they arrive: what was asked and paid for once is not asked again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dsum_bench_openai.reading import Answer

from dsum_bench import UserError

TABLE = """
create table if not exists answers (
    key text primary key,
    judge text not null,
    text text not null,
    finish text not null,
    note text not null,
    prompt_tokens integer not null,
    new_tokens integer not null,
    made text not null
) without rowid
"""
ADD = "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, ?)"
GET = """
select key, text, finish, prompt_tokens, new_tokens, note from answers
where key in (select value from json_each(?))
"""


def request_key(body: Mapping[str, Any]) -> str:
    """A digest of a request: the model's name, its messages and settings; not the server's address, nor the key."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Cache:
    """A SQLite file of answers by request. Use it as a context manager.

    Raises:
        UserError: the file cannot be opened or written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=30)
            with self._db:
                self._db.execute("pragma journal_mode = wal")
                self._db.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"answers of judges cannot be kept in {file}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are there, by key."""
        rows = self._db.execute(GET, [json.dumps(list(keys))])
        return {key: Answer(text, finish, prompt, new, note) for key, text, finish, prompt, new, note in rows}

    def add(self, judge: str, answers: Mapping[str, Answer]) -> None:
        """Keep answers; one that is there already stays as it was."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (key, judge, _storable(a.text), a.finish, _storable(a.note), a.prompt_tokens, a.new_tokens, now)
            for key, a in answers.items()
        ]
        try:
            with self._db:
                self._db.executemany(ADD, rows)
        except sqlite3.Error as error:
            raise UserError(f"answers of judges cannot be kept in {self.file}: {error}") from None


def _storable(text: str) -> str:
    """text with lone surrogates, which no UTF-8 file can hold, replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
