"""On which line of a TOML text a key stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]
"""Keys and list indices from the top of the document: ``("prompts", "short", "examples", 0, "summary")``."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<quoted>\"{3}(?:[^\\]|\\.)*?\"{3,5}|'{3}.*?'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')
    |(?P<mark>[\[\]{},=.])
    |(?P<bare>[^\s\[\]{},=.\#\"']+)""",
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Line (from 1) where each key, table and list item of a valid TOML text is first named."""
    return _Scan(text).lines


def split_key(key: str) -> tuple[str, ...]:
    """The parts of a dotted key, quotes taken off: ``models."solar-10.7b"`` has two."""
    tokens = [(m.lastgroup, m.group()) for m in _TOKEN.finditer(key)]
    return tuple(_unquoted(text) for kind, text in tokens if kind in ("bare", "quoted"))


def join_key(*parts: str) -> str:
    """The reverse of split_key: parts joined by dots, quoted where TOML demands it."""
    return ".".join(p if re.fullmatch(r"[A-Za-z0-9_-]+", p) else _quoted(p) for p in parts)


def _quoted(part: str) -> str:
    return '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(token: str) -> str:
    return str(next(iter(tomllib.loads(f"{token} = 0")))) if token[0] in "\"'" else token


class _Scan:
    """A walk over the tokens of a text that tomllib has already accepted."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match.group(), line))
            line += match.group().count("\n")
        self.tokens.append(("newline", "\n", line))
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.items: dict[Path, int] = {}
        """How many ``[[table]]`` headers each list of tables has had."""
        self.table: Path = ()
        while self.at < len(self.tokens):
            self._statement()

    def _statement(self) -> None:
        kind, token, _ = self.tokens[self.at]
        if kind == "newline":
            self.at += 1
        elif token == "[":
            self._header()
        else:
            self._pair(self.table)

    def _header(self) -> None:
        is_list = self.tokens[self.at + 1][1] == "["
        self.at += 2 if is_list else 1
        line = self.tokens[self.at][2]
        *above, last = self._key("]")
        path: Path = ()
        for part in above:
            path = self._last_item((*path, part))
        path = (*path, last)
        if is_list:
            self.items[path] = self.items.get(path, 0) + 1
        self.table = self._last_item(path)
        self._note(self.table, line)
        self.at += 2 if is_list else 1

    def _last_item(self, path: Path) -> Path:
        return (*path, self.items[path] - 1) if path in self.items else path

    def _pair(self, table: Path) -> None:
        line = self.tokens[self.at][2]
        path = (*table, *self._key("="))
        self._note(path, line)
        self.at += 1
        self._value(path)

    def _key(self, end: str) -> list[str]:
        parts = []
        while self.tokens[self.at][1] != end:
            kind, token, _ = self.tokens[self.at]
            if kind in ("bare", "quoted"):
                parts.append(_unquoted(token))
            self.at += 1
        return parts

    def _value(self, path: Path) -> None:
        """Skip one value, noting what lies inside a list or an inline table."""
        token = self.tokens[self.at][1]
        if token not in ("[", "{"):
            while self.tokens[self.at][0] != "newline" and self.tokens[self.at][1] not in (",", "]", "}"):
                self.at += 1
            return
        end = "]" if token == "[" else "}"
        self.at += 1
        index = 0
        while self.tokens[self.at][1] != end:
            kind, inner, line = self.tokens[self.at]
            if kind == "newline" or inner == ",":
                self.at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._note((*path, index), line)
                self._value((*path, index))
                index += 1
        self.at += 1

    def _note(self, path: Path, line: int) -> None:
        """Remember a path and the tables above it that no line of their own names."""
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)
