"""Keeping outputs to a script while they are written. Imports torch: import this module inside methods only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from dsum_bench.decoding import script, token_bytes
from dsum_bench.decoding.automaton import DEAD, Automaton, CharacterSet
from dsum_bench.decoding.base import Batch

ENDED = -2


def automaton(batch: Batch, row: int, literals: Sequence[str], copy_names: bool) -> Automaton:
    """The automaton of one sample. Samples without exceptions of their own share one.

    Raises:
        ModelError: how the tokenizer's tokens make text is not understood.
    """
    words = token_bytes.vocabulary(batch.tokenizer)
    kept = words.prepared
    if CharacterSet not in kept:
        kept[CharacterSet] = CharacterSet(script.hangul_characters(), words)
    common = script.exceptions("", literals, copy_names)
    excepted = script.exceptions(batch.dialogues[row], literals, copy_names)
    if set(excepted) != set(common):
        return Automaton(kept[CharacterSet], excepted, words)
    if common not in kept:
        kept[common] = Automaton(kept[CharacterSet], common, words)
    shared: Automaton = kept[common]
    return shared


class ScriptConstraint(LogitsProcessor):  # type: ignore[misc]  # transformers has no types here
    """Leaves only tokens that keep the output within its language, end tokens only where a text may end.

    The state of a row follows from its tokens alone, so rows may change places (beams) or leave.

    Args:
        automata: one per prompt; rows are these, each repeated once per beam.
        ends: ids that end an output.
        width: length of the sequence before the first new token. most: new tokens that there may be.
        others: processors that forbid tokens; should they leave a row nothing, they are ignored there.
    """

    def __init__(
        self,
        automata: Sequence[Automaton],
        ends: Sequence[int],
        width: int,
        most: int,
        others: Sequence[LogitsProcessor],
    ) -> None:
        self.automata = automata
        self.ends = frozenset(ends)
        self.width = width
        self.most = most
        self.others = LogitsProcessorList(others)
        self.states: dict[tuple[int, tuple[int, ...]], int] = {}
        self.masks: dict[tuple[int, int, int], torch.Tensor] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        beams = len(input_ids) // len(self.automata)
        outputs = [tuple(row) for row in input_ids[:, self.width :].tolist()]
        owners = [row // beams for row in range(len(outputs))]
        self.states = {key: self._state(*key) for key in zip(owners, outputs, strict=True)}
        left = self.most - len(outputs[0])
        keys = [(o, self.states[o, out], left) for o, out in zip(owners, outputs, strict=True)]
        self._forget(len(keys))
        masks = [self._mask(*key, scores) for key in keys]
        if not outputs[0]:  # a token that the model's family forces at the start passes
            masks = [
                m if (row + m).isfinite().any() else torch.zeros_like(m) for m, row in zip(masks, scores, strict=True)
            ]
        # In place: the scores are made for this step, and a second table of them costs more than all the rest.
        if scores.is_cuda:
            scores += torch.stack(masks)
        else:
            for row, mask in zip(scores, masks, strict=True):
                row += mask
        if not self.others:
            return scores
        rest = self.others(input_ids, scores)
        return torch.where(rest.isneginf().all(1, keepdim=True), scores, rest)

    def _forget(self, rows: int) -> None:
        """Keep memory bounded: most masks are of names begun, and seldom used again."""
        if len(self.masks) > 4 * rows + 64:
            self.masks.clear()

    def _state(self, owner: int, output: tuple[int, ...]) -> int:
        if not output:
            return 0
        known = self.states.get((owner, output[:-1]))
        if known is not None:
            return self._after(owner, known, output[-1])
        state = 0
        for token in output:
            state = self._after(owner, state, token)
        return state

    def _after(self, owner: int, state: int, token: int) -> int:
        if state == ENDED or token in self.ends:
            return ENDED
        words = self.automata[owner].vocabulary.tokens
        text = words[token] if token < len(words) else b""
        return self.automata[owner].step(state, text) if text else state

    def _mask(self, owner: int, state: int, left: int, scores: torch.Tensor) -> torch.Tensor:
        """Minus infinity for what is forbidden, else 0, shape (vocabulary,).

        A beam that has left the language is dead already, with a score of minus infinity, and a row that has ended is
        filled up: neither is touched.
        """
        machine = self.automata[owner]
        key = (id(machine), state, min(left, machine.farthest + 1))
        if key not in self.masks:
            open_row = state in (DEAD, ENDED)
            mask = torch.full((scores.shape[1],), 0.0 if open_row else -float("inf"), dtype=scores.dtype)
            if not open_row:
                mask[torch.from_numpy(machine.allowed(state, left))] = 0.0
                if machine.accepts[state]:
                    mask[list(self.ends)] = 0.0
            self.masks[key] = mask.to(scores.device)
        return self.masks[key]
