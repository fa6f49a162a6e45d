"""What may be written next, as a finite automaton over bytes: allowed characters and excepted texts in any order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dsum_bench.decoding.token_bytes import TokenBytes

if TYPE_CHECKING:
    import numpy as np

NEVER = 1_000_000
"""Tokens to the end of a text that cannot be ended."""
DEAD = -1


class CharacterSet:
    """The automaton of single characters: state 0 stands between characters, the others within one.

    table: next state by state and byte, shape (states, 256), DEAD for none. to_end: fewest tokens that complete the
    character, by state.
    """

    def __init__(self, characters: Iterable[str], vocabulary: TokenBytes) -> None:
        import numpy as np

        root: dict[int, dict[int, object]] = {}
        for character in characters:
            node: dict[int, object] = root  # type: ignore[assignment]
            *before, last = character.encode()
            for byte in before:
                node = node.setdefault(byte, {})  # type: ignore[assignment]
            node[last] = None
        rows: list[dict[int, int]] = [{}]
        merged: dict[tuple[tuple[int, int], ...], int] = {}

        def place(node: dict[int, object]) -> dict[int, int]:
            row = {}
            for byte, inner in node.items():
                if inner is None:
                    row[byte] = 0
                    continue
                below = place(inner)  # type: ignore[arg-type]
                key = tuple(sorted(below.items()))
                if key not in merged:
                    merged[key] = len(rows)
                    rows.append(below)
                row[byte] = merged[key]
            return row

        rows[0] = place(root)  # type: ignore[arg-type]
        self.table = np.full((len(rows), 256), DEAD, dtype=np.int32)
        for state, row in enumerate(rows):
            for byte, after in row.items():
                self.table[state, byte] = after
        self.to_end = [0] + [NEVER] * (len(rows) - 1)
        for _ in range(3):  # a character has at most three bytes after its first
            for state, row in enumerate(rows[1:], 1):
                steps = (self.to_end[after] + 1 for byte, after in row.items() if bytes([byte]) in vocabulary.known)
                self.to_end[state] = min(min(steps, default=NEVER), NEVER)


class Automaton:
    """The automaton of one sample.

    An excepted text that the vocabulary cannot spell is left out. A state is a place among the characters (or none)
    with the excepted texts begun; those of ``characters`` come first, with the same numbers.

    to_end: by state, as many tokens as surely suffice to reach the end of a character or an excepted text.
    """

    def __init__(self, characters: CharacterSet, literals: Iterable[str], vocabulary: TokenBytes) -> None:
        import numpy as np

        self.vocabulary = vocabulary
        spelt = {text: _spelling(text.encode(), vocabulary) for text in literals}
        whole = {text.encode() for text, left in spelt.items() if left[0] < NEVER}
        begun: dict[bytes, int] = {}
        for text, left in spelt.items():
            for length in range(len(text.encode()) if left[0] < NEVER else 0):
                prefix = text.encode()[:length]
                begun[prefix] = min(begun.get(prefix, NEVER), left[length])
        follow: dict[bytes, set[int]] = {}
        for written in (*begun, *whole):
            if written:
                follow.setdefault(written[:-1], set()).add(written[-1])
        count = len(characters.table)
        rows, to_end = list(characters.table), list(characters.to_end)
        numbers: dict[tuple[int, frozenset[bytes]], int] = {(n, frozenset()): n for n in range(count)}
        waiting = [(0, frozenset[bytes]())]
        while waiting:
            state = waiting.pop()
            place, texts = state
            row = characters.table[place].copy() if place >= 0 else np.full(256, DEAD, dtype=np.int32)
            open_texts = texts | {b""} if place == 0 else texts
            for byte in set().union(*(follow.get(t, set()) for t in open_texts)):
                after = int(characters.table[place, byte]) if place >= 0 else DEAD
                longer = [t + bytes([byte]) for t in open_texts]
                if any(t in whole for t in longer):
                    after = 0
                target = (after, frozenset(t for t in longer if t in begun))
                if target not in numbers:
                    if target == (DEAD, frozenset()):
                        continue
                    numbers[target] = len(rows)
                    rows.append(row)  # takes the number; its own row comes when its turn does
                    ends = [to_end[after]] if after >= 0 else []
                    to_end.append(min([*ends, *(begun[t] for t in target[1])]))
                    waiting.append(target)
                row[byte] = numbers[target]
            rows[numbers[state]] = row
        self.table = np.stack(rows)
        self.to_end = np.array(to_end, dtype=np.int32)
        self.farthest = int(self.to_end[self.to_end < NEVER].max())
        self.accepts = self.to_end == 0
        self._after: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def step(self, state: int, token: bytes) -> int:
        """The state after a token; DEAD when it is not allowed."""
        for byte in token:
            if state == DEAD:
                break
            state = int(self.table[state, byte])
        return state

    def allowed(self, state: int, tokens_left: int) -> np.ndarray:
        """Ids of the tokens that may come next, so that a character or text begun can still be ended within the tokens
        that are left, this one counted."""
        ids, after = self._tokens(state)
        found: np.ndarray = ids[self.to_end[after] <= tokens_left - 1]
        return found

    def _tokens(self, state: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all tokens that lead somewhere, and where: all tokens walk at once, byte by byte."""
        import numpy as np

        if state not in self._after:
            words, table = self.vocabulary, self.table.ravel()
            # Two bytes decide about most tokens, and there are few different pairs of them.
            heads = table.take(state * 256 + words.heads[:, 0])
            pair = (heads >= 0) & (words.heads[:, 1] >= 0)
            heads[pair] = table.take(heads[pair] * 256 + words.heads[pair, 1])
            going = np.flatnonzero((heads >= 0)[words.head_of])
            now = heads[words.head_of[going]]
            found, after = [], []
            for place, column in enumerate(words.columns[2:], 2):
                # The longest come first, so those that end here come last.
                longer = int(np.searchsorted(words.minus_lengths[going], -place))
                found.append(going[longer:])
                after.append(now[longer:])
                going, now = going[:longer], now[:longer]
                now = table.take(now * 256 + column[going])
                alive = now >= 0
                going, now = going[alive], now[alive]
            self._after[state] = words.ids[np.concatenate([*found, going])], np.concatenate([*after, now])
        return self._after[state]


def _spelling(text: bytes, vocabulary: TokenBytes) -> list[int]:
    """Fewest tokens that spell what is left of a text, by the number of bytes written."""
    left = [NEVER] * len(text) + [0]
    for start in range(len(text) - 1, -1, -1):
        ends = (end for end in range(start + 1, len(text) + 1) if text[start:end] in vocabulary.known)
        left[start] = min((left[end] + 1 for end in ends), default=NEVER)
        left[start] = min(left[start], NEVER)
    return left
