"""Rows laid into bins of a number of tokens, as few as they fit into. No torch."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from dsum_bench.training.texts import TrainingText


def fitted(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Positions of the rows of each bin, by best-fit decreasing: the longest first, each into the fullest bin that has
    room. That takes at most 11/9 of the fewest bins there can be, and one more (Johnson 1973).

    Args:
        lengths: tokens of each row.
        size: tokens of a bin; a longer row has a bin of its own.
    """
    found: list[list[int]] = []
    room: list[tuple[int, int]] = []  # tokens left and number of each bin, in order
    for row in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        at = bisect_left(room, (lengths[row], -1))
        if at == len(room):
            found.append([row])
            insort(room, (size - lengths[row], len(found) - 1))
        else:
            left, number = room.pop(at)
            found[number].append(row)
            insort(room, (left - lengths[row], number))
    return found


def of_texts(texts: Sequence[TrainingText], size: int) -> list[list[TrainingText]]:
    """The texts of each bin of at most size tokens."""
    return [[texts[n] for n in some] for some in fitted([len(t.input_ids) for t in texts], size)]
