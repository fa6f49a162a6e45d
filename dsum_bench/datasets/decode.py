"""Bytes of a data file as text, in the encodings that Korean data comes in."""

from __future__ import annotations

import codecs
from collections.abc import Callable

from dsum_bench.errors import UserError, suggestion

USUAL = ("auto", "utf-8", "utf-16", "cp949", "euc-kr", "johab", "latin-1")

HEAD = 4096
"""Bytes of a file that are looked at to find out its encoding."""

CountRows = Callable[[str], int]
"""How many whole records a text holds, header included."""


def decode(data: bytes, encoding: str, file: str, count_rows: CountRows) -> str:
    """The text of a file, without a byte order mark.

    encoding: a codec of Python, or ``auto``: what a byte order mark says, UTF-16 without one where every second byte
        of Latin letters is zero, else UTF-8, and CP949 for a file that is clearly not UTF-8. A file that is UTF-8 but
        for a few bytes is refused, since CP949 would read it into other words without complaint.

    Raises:
        UserError: bytes that are not of this encoding (names file, row, line and byte), or no such encoding.
    """
    if encoding == "auto":
        return _auto(data, file, count_rows)
    try:
        text = data.decode("utf-8" if _is_utf8(encoding) else encoding)
    except LookupError:
        raise UserError(f"{file}: unknown encoding '{encoding}'{suggestion(encoding, USUAL)}") from None
    except UnicodeDecodeError as error:
        place = _place(data, error, encoding, count_rows)
        raise UserError(
            f"{file}, {place} is not {encoding}; repair the file or set another encoding in the dataset's entry"
        ) from None
    return text.lstrip("\ufeff")


def _auto(data: bytes, file: str, count_rows: CountRows) -> str:
    wide = _wide(data)
    try:
        return data.decode(wide or "utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        wrong = error
    if wide:
        place = _place(data, wrong, wide, count_rows)
        raise UserError(f"{file}, {place} is not {wide.upper()}, although the file starts like it; save it as UTF-8")
    if _hardly_utf8(data):
        try:
            return data.decode("cp949")
        except UnicodeDecodeError as error:
            wrong = error if error.start > wrong.start else wrong
    place = _place(data, wrong, wrong.encoding, count_rows)
    raise UserError(
        f"{file}, {place} is neither UTF-8 nor CP949; save the file as UTF-8 (or set another encoding in its "
        'entry, such as encoding = "johab")'
    )


def _wide(data: bytes) -> str:
    """``utf-16`` or ``utf-32`` where the bytes look so, else ''."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[:HEAD]
    zeros = head[::2].count(0), head[1::2].count(0)
    if sum(zeros) < len(head) / 20 or min(zeros) > max(zeros) / 10:
        return ""
    return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"


def _hardly_utf8(data: bytes) -> bool:
    """More bytes that are wrong in UTF-8 than characters beyond ASCII that are right."""
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return wrong > sum(c > "\x7f" for c in text) - wrong


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False


def _place(data: bytes, error: UnicodeDecodeError, encoding: str, count_rows: CountRows) -> str:
    before = data[: error.start].decode(encoding, "replace")
    row = count_rows(before)
    line = before.count("\n") + 1
    at = f"row {row} (line {line})" if row else f"line {line}"
    return f"{at}: byte 0x{data[error.start]:02X} at offset {error.start}"
