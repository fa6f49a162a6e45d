"""Many requests at once, their answers in the order they come; a request that fails costs the others nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Generic, TypeVar

from dsum_bench import ModelError, ModelSkipped
from dsum_bench_openai.fleet import Fleet, Stopped, Unanswered
from dsum_bench_openai.reading import Answer

Item = TypeVar("Item")
IN_A_ROW = 3
"""Requests given up, with no answer between them, after which the rest is not asked."""
NAMED = 5


class Asking(Generic[Item]):
    """Asks for many items. Iterate ``all`` to its end, then call ``close``, which raises what went wrong.

    answered, tokens: so far. unanswered: items that were given up, and why.
    """

    def __init__(self, fleet: Fleet, ask: Callable[[Item], Answer]) -> None:
        self.fleet = fleet
        self.ask = ask
        self.answered = self.tokens = 0
        self.unanswered: list[tuple[Item, Unanswered]] = []
        self.fault: ModelError | ModelSkipped | None = None
        self._in_a_row = 0

    def all(self, items: Sequence[Item], tell: Callable[[str], None]) -> Iterator[list[tuple[Item, Answer, float]]]:
        """Batches of (item, answer, seconds), the seconds being the item's share of the time that passed."""
        left = deque(items)
        flying: dict[Future[Answer], Item] = {}
        since = monotonic()
        with ThreadPoolExecutor(self.fleet.in_flight) as pool:
            try:
                while flying or (left and self.fault is None):
                    while left and self.fault is None and len(flying) < self.fleet.in_flight:
                        item = left.popleft()
                        flying[pool.submit(self.ask, item)] = item
                    ended, _ = wait(flying, timeout=1.0, return_when=FIRST_COMPLETED)
                    made = [(i, a) for i, a in ((flying[w], self._result(w, flying.pop(w))) for w in ended) if a]
                    words = (
                        f"{self.answered}/{len(items)} samples",
                        f"{len(flying)} in flight",
                        f"{self.tokens:,} tokens",
                        self.fleet.state(),
                    )
                    tell(", ".join(filter(None, words)))
                    if made:
                        now = monotonic()
                        share, since = (now - since) / len(made), now
                        yield [(item, answer, share) for item, answer in made]
            finally:
                self.fleet.stop.set()

    def _result(self, work: Future[Answer], item: Item) -> Answer | None:
        try:
            answer = work.result()
        except Stopped:
            return None
        except Unanswered as error:
            self.unanswered.append((item, error))
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self._end(error.error)
            return None
        except (ModelError, ModelSkipped) as error:
            self._end(error)
            return None
        self._in_a_row = 0
        self.answered += 1
        self.tokens += answer.prompt_tokens + answer.new_tokens
        return answer

    def _end(self, error: ModelError | ModelSkipped) -> None:
        self.fault = self.fault or error
        self.fleet.stop.set()

    def close(self, name: Callable[[Item], str]) -> None:
        """Raise what ended the asking, or name the items without an answer. ModelSkipped where others have theirs."""
        if self.fault is not None:
            raise self.fault
        if not self.unanswered:
            return
        kind = ModelSkipped if self.answered else type(self.unanswered[0][1].error)
        told = "; ".join(f"sample '{name(item)}': {error}" for item, error in self.unanswered[:NAMED])
        more = f"; and {len(self.unanswered) - NAMED} more" if len(self.unanswered) > NAMED else ""
        raise kind(f"{told}{more}; the same command asks again")
