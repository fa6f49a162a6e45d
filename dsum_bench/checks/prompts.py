"""Checks of the prompt as the model gets it: token ids, not the text they were meant to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dsum_bench.checks.base import Check, Setup, share
from dsum_bench.checks.template import Frame, frame
from dsum_bench.spec import Finding, Prompt


def frame_of(setup: Setup) -> Frame | None:
    """What the chat template puts around a message; None for a model without one."""
    if setup.adapter.architecture != "decoder" or setup.loaded.tokenizer is None:
        return None
    arguments: Callable[[], dict[str, object]] | None = getattr(setup.adapter, "template_arguments", None)
    return frame(setup.loaded.tokenizer, arguments() if arguments else None)


def through(tokenizer: Any, text: str) -> str:
    """A text as it looks after going through the tokenizer, with what tokenizers do to spaces at its ends off."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return decoded(tokenizer, ids).strip()


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def _untemplated(setup: Setup, around: Frame) -> set[str]:
    """Ids of the samples whose prompt lacks what the template puts before the user's words."""
    tokenizer = setup.loaded.tokenizer
    opening = through(tokenizer, around.opening)
    return {i for i, p in setup.prompts.items() if opening and opening not in decoded(tokenizer, p.token_ids)}


class NoTemplate(Check):
    """A chat model is given bare text."""

    name = "no-template"
    mark = "N"
    level = "error"
    meaning = "chat template not used"

    def before(self, setup: Setup) -> Finding | None:
        around = frame_of(setup)
        if around is None:
            return None
        bare = _untemplated(setup, around)
        if not bare:
            return None
        return self.found(
            f"its tokenizer has a chat template, but {share(len(bare), len(setup.prompts))} are asked without it: use "
            "an adapter of its family, or adapter chat, with --prompt-format template",
            len(bare),
            len(setup.prompts),
        )


class HeaderCut(Check):
    """The end of the prompt, where the answer belongs, is missing."""

    name = "header-cut"
    mark = "H"
    level = "error"
    meaning = "assistant header cut off"

    def before(self, setup: Setup) -> Finding | None:
        around = frame_of(setup)
        if around is None:
            return None
        tokenizer = setup.loaded.tokenizer
        header = through(tokenizer, around.header)
        bare = _untemplated(setup, around)
        cut = [
            i
            for i, p in setup.prompts.items()
            if i not in bare and header and not decoded(tokenizer, p.token_ids).rstrip().endswith(header)
        ]
        if not cut:
            return None
        return self.found(
            f"{share(len(cut), len(setup.prompts))} lack the assistant header at their end: the adapter cuts prompts "
            "from the right; dialogues must lose turns instead, and the instruction and header stay",
            len(cut),
            len(setup.prompts),
        )


class Bos(Check):
    """The begin-of-sequence token is missing or doubled."""

    name = "bos"
    mark = "B"
    level = "error"
    meaning = "BOS missing or doubled"

    def before(self, setup: Setup) -> Finding | None:
        tokenizer = setup.loaded.tokenizer
        bos = getattr(tokenizer, "bos_token_id", None)
        if bos is None:
            return None
        leading = {i: _leading(p, bos) for i, p in setup.prompts.items()}
        doubled = sum(count > 1 for count in leading.values())
        if doubled:
            return self.found(
                f"{share(doubled, len(leading))} begin with BOS more than once: templated text was tokenised again "
                "with special tokens; tokenise it with add_special_tokens=False",
                doubled,
                len(leading),
            )
        missing = sum(count == 0 for count in leading.values())
        if not missing or not self._wanted(setup, bos):
            return None
        return self.found(
            f"{share(missing, len(leading))} begin without BOS, which this model's texts begin with; models trained "
            "with it write nonsense without it",
            missing,
            len(leading),
        )

    @staticmethod
    def _wanted(setup: Setup, bos: int) -> bool:
        around = frame_of(setup)
        if around is not None and around.bos and not _untemplated(setup, around):
            return True
        first: list[int] = setup.loaded.tokenizer("x")["input_ids"][:1]
        return first == [bos]


def _leading(prompt: Prompt, token: int) -> int:
    """How many times a token stands at the beginning of a prompt, one after the other."""
    return next((i for i, t in enumerate(prompt.token_ids) if t != token), len(prompt.token_ids))


class PromptTrimmed(Check):
    """Dialogues did not fit and lost turns, or examples that were chosen did not."""

    name = "trimmed"
    mark = "T"
    level = "warning"
    meaning = "dialogues trimmed to fit"

    def before(self, setup: Setup) -> Finding | None:
        cut = [p for p in setup.prompts.values() if p.trimmed_turns or p.trimmed_chars]
        if not cut:
            return self._fewer(setup)
        turns, chars = sum(p.trimmed_turns for p in cut), sum(p.trimmed_chars for p in cut)
        of = sum(p.turns for p in cut)
        lost = f"{turns} of their {of} turns" + (f" and {chars} characters" if chars else "")
        return self.found(
            f"{share(len(cut), len(setup.prompts))} did not fit into the prompt and lost {lost}: raise "
            "max_prompt_tokens if the model can take more, or choose one that can",
            len(cut),
            len(setup.prompts),
        )

    def _fewer(self, setup: Setup) -> Finding | None:
        """Samples with fewer examples than were chosen; under a budget of tokens, with none."""
        choice = setup.run.prompt.choose if setup.run.prompt else None
        if choice is None:
            return None
        least = [1 if choice.tokens is not None else len(s.examples) for s in setup.samples]
        pairs = zip(setup.samples, least, strict=True)
        fewer = [s.id for s, n in pairs if s.examples and len(setup.prompts[s.id].shown) < n]
        if not fewer:
            return None
        return self.found(
            f"the prompts of {share(len(fewer), len(setup.samples))} have no room for all examples that were chosen "
            f"for them (sample {fewer[0]}): choose fewer, raise max_prompt_tokens if the model can take more, or the "
            "budget of tokens",
            len(fewer),
            len(setup.samples),
        )


class Padding(Check):
    """A decoder-only model is padded on the right, so that it continues from padding."""

    name = "padding-side"
    mark = "P"
    level = "error"
    meaning = "padded on the wrong side"

    def before(self, setup: Setup) -> Finding | None:
        side = setup.engine.padding_side(setup.adapter.architecture)
        wrong = setup.adapter.architecture == "decoder" and side == "right"
        if not wrong:
            return None
        return self.found(
            f"engine '{setup.engine.name}' pads prompts on the right, and a decoder-only model then writes on after "
            "padding: pad on the left"
        )


class EndTokens(Check):
    """Nothing stops the model where its template ends an answer."""

    name = "end-tokens"
    mark = "S"
    level = "error"
    meaning = "end of turn is not a stop token"

    def before(self, setup: Setup) -> Finding | None:
        around = frame_of(setup)
        tokenizer = setup.loaded.tokenizer
        if around is None or not setup.loaded.end_ids or _untemplated(setup, around):
            return None
        ids = tokenizer(around.end.lstrip(), add_special_tokens=False)["input_ids"]
        ends = {*setup.loaded.end_ids, *setup.adapter.end_ids()}
        if not ids or ids[0] in ends:
            return None
        token = tokenizer.convert_ids_to_tokens(ids[0])
        return self.found(
            f"the template ends an answer with '{token}' (id {ids[0]}), which is not among the ids that stop it "
            f"({', '.join(map(str, sorted(ends)))}): every output runs on to its limit; add it in the adapter's end_ids"
        )


CHECKS: tuple[type[Check], ...] = (NoTemplate, HeaderCut, Bos, PromptTrimmed, Padding, EndTokens)
