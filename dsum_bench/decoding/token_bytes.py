"""The bytes that each token of a vocabulary writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dsum_bench.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

PROBES = (
    "#Person1#은 3시에 #Person2#를 만납니다.",
    "네, 좋아요! 'Tom'과 (함께) 갑니다.\n다음 주에 봐요.",
    "값: 1,200원 ~ 30%",
)
"""Texts that tell whether the bytes are understood."""


class TokenBytes:
    """Tokens as bytes, laid out so that all of them can be walked at once.

    Args:
        tokens: bytes by id; None for a token that writes no text.

    prepared: what others have worked out for this vocabulary; it goes when the vocabulary does.
    ids: ids of the tokens that write text, the longest first; minus_lengths: their lengths, negated.
    columns: for each place in a token the bytes there, of as many tokens as are that long.
    heads: the different first two bytes, -1 for the second of a token of one byte, shape (heads, 2); head_of: the head
        of each token.
    """

    def __init__(self, tokens: list[bytes | None]) -> None:
        import numpy as np

        self.tokens = tokens
        self.prepared: dict[Any, Any] = {}
        self.known = frozenset(t for t in tokens if t)
        written = [(i, t) for i, t in enumerate(tokens) if t]
        written.sort(key=lambda pair: -len(pair[1]))
        self.ids = np.array([i for i, _ in written], dtype=np.int64)
        self.minus_lengths = np.array([-len(t) for _, t in written], dtype=np.int64)
        self.columns: list[np.ndarray] = []
        for place in range(len(written[0][1]) if written else 0):
            count = int(np.count_nonzero(self.minus_lengths < -place))
            self.columns.append(np.fromiter((t[place] for _, t in written[:count]), dtype=np.uint8, count=count))
        heads = {head: n for n, head in enumerate(dict.fromkeys(t[:2] for _, t in written))}
        self.heads = np.array([(h[0], h[1] if len(h) > 1 else -1) for h in heads], dtype=np.int64)
        self.head_of = np.array([heads[t[:2]] for _, t in written], dtype=np.int64)


_known: WeakKeyDictionary[Any, TokenBytes] = WeakKeyDictionary()


def vocabulary(tokenizer: Any) -> TokenBytes:
    """The vocabulary of a tokenizer, read once.

    Raises:
        ModelError: how its tokens make text is not understood.
    """
    if tokenizer not in _known:
        tokens = list(_read(tokenizer))
        _verify(tokenizer, tokens)
        _known[tokenizer] = TokenBytes(tokens)
    return _known[tokenizer]


def _read(tokenizer: Any) -> Iterator[bytes | None]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("option script needs a fast tokenizer (tokenizer.json), and this is a slow one")
    steps = list(_steps(json.loads(backend.to_str())["decoder"]))
    unknown = {s["type"] for s in steps} - {"ByteLevel", "ByteFallback", "Fuse", "Strip", "Metaspace", "Replace"}
    if unknown:
        raise ModelError(f"option script does not support this tokenizer's decoder ({', '.join(sorted(unknown))})")
    added = tokenizer.added_tokens_decoder
    silent = set(tokenizer.all_special_ids)
    letters = _byte_letters() if any(s["type"] == "ByteLevel" for s in steps) else None
    for i, token in enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer)))):
        if token is None or i in silent or (i in added and added[i].special):
            yield None
        elif i in added:
            yield str(added[i].content).encode()
        elif letters is not None:
            yield bytes(letters[c] for c in token) if letters.keys() >= set(token) else None
        else:
            yield _plain(token, steps)


def _steps(decoder: Any) -> Iterator[dict[str, Any]]:
    if decoder is None:
        return
    if decoder["type"] == "Sequence":
        for inner in decoder["decoders"]:
            yield from _steps(inner)
    else:
        yield decoder


def _plain(token: str, steps: list[dict[str, Any]]) -> bytes:
    if any(s["type"] == "ByteFallback" for s in steps) and len(token) == 6 and token[:3] == "<0x" and token[5] == ">":
        return bytes([int(token[3:5], 16)])
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            token = token.replace(step["pattern"]["String"], step["content"])
        elif step["type"] == "Metaspace":
            token = token.replace(step["replacement"], " ")
    return token.encode()


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary (Radford et al. 2019): a printable byte for
    itself, the others in order from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def _verify(tokenizer: Any, tokens: list[bytes | None]) -> None:
    for text in PROBES:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [i for i in ids if tokens[i] is not None]
        made = b"".join(tokens[i] or b"" for i in ids).decode("utf-8", "replace")
        if made.strip() != tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip():
            raise ModelError(
                f"option script does not understand this tokenizer's tokens: '{text}' came out as '{made}'"
            )
