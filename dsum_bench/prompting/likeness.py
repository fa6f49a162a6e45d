"""Near copies of dialogues, found by the pieces that they share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from dsum_bench.characters import canonical_text
from dsum_bench.dialogue import MASK

PIECE = 8
"""Characters of a piece: few dialogues share one by chance."""
COPY = 0.2
"""Share of the shorter dialogue's pieces from which on two are copies. Of the 2,500 training dialogues of DialogSum-ko
that share most with one of dev, every one read down to 0.25 was the same conversation, translated again."""


class Dialogues:
    """Dialogues that copies are looked for of."""

    def __init__(self, dialogues: Sequence[str]) -> None:
        self._sizes: list[int] = []
        self._where: dict[str, list[int]] = defaultdict(list)
        for index, dialogue in enumerate(dialogues):
            pieces = _pieces(dialogue)
            self._sizes.append(len(pieces))
            for piece in pieces:
                self._where[piece].append(index)

    def copied(self, dialogue: str) -> list[int]:
        """Indices of the dialogues that this one is a copy of, word by word or nearly."""
        pieces = _pieces(dialogue)
        shared = Counter(index for piece in pieces for index in self._where.get(piece, ()))
        return sorted(i for i, count in shared.items() if count >= COPY * min(len(pieces), self._sizes[i]))


def _pieces(dialogue: str) -> frozenset[str]:
    """Every run of characters of that length, without tags, case and white space; the whole of a shorter dialogue."""
    flat = "".join(MASK.sub("", canonical_text(dialogue)).casefold().split())
    return frozenset(flat[i : i + PIECE] for i in range(max(len(flat) - PIECE, 0) + 1)) - {""}
