"""What every adapter must keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from dsum_bench.adapters.base import Adapter
from dsum_bench.adapters.rendering import FROZEN, told
from dsum_bench.dialogue import TAG
from dsum_bench.errors import ModelError
from dsum_bench.spec import Generation, Prompt, PromptSpec, Sample
from dsum_bench.testing.making import PROMPT, SAMPLES, make_adapter

LONG = Sample("long", "\n".join(f"#Person{i % 2 + 1}#: {i}번째 말이고 #Place{i}#에서 한다." for i in range(40)))
SAID = "#Person1#이 #PhoneNumber#로 전화한다."


class AdapterRules:
    """Subclass it as ``Test...`` and set ``adapter``, and ``tokenizer`` unless it is a control.

    tokenizer: the family's own where you have it, else ``byte_tokenizer(template)``. options: as in a registry.
    """

    adapter: ClassVar[type[Adapter]]
    tokenizer: ClassVar[Any] = None
    prompt: ClassVar[PromptSpec | None] = PROMPT
    options: ClassVar[Mapping[str, object]] = {}

    def make(self, limit: int | None = None) -> Any:
        """The adapter under test, new; override it to make one otherwise."""
        return make_adapter(self.adapter, self.tokenizer, self.prompt, self.options, limit)

    def _needs_tokens(self) -> None:
        if self.tokenizer is None:
            pytest.skip("a control reads no tokens")

    def test_its_prompt_is_what_the_chat_template_makes(self) -> None:
        """Ids are those of ``tokenizer.apply_chat_template`` with the assistant's header, but for a second BOS."""
        if self.adapter.prompt_style != "chat" or not getattr(self.tokenizer, "chat_template", None):
            pytest.skip("no chat template")
        made = self.make()
        for sample in SAMPLES:
            with told(FROZEN):
                wanted = self.tokenizer.apply_chat_template(
                    made.messages(sample.dialogue),
                    add_generation_prompt=True,
                    return_dict=False,
                    **made.template_arguments(),
                )
            got, bos = list(made.prompt(sample).token_ids), self.tokenizer.bos_token_id
            assert _without(got, bos) == _without(wanted, bos), "the prompt is not what the chat template makes"

    def test_it_has_the_whole_dialogue(self) -> None:
        for sample in SAMPLES:
            if self.adapter.architecture == "decoder":
                assert sample.dialogue in self.make().prompt(sample).text, "the prompt lacks a part of the dialogue"

    def test_it_begins_with_one_bos_and_has_no_other(self) -> None:
        """One where the tokenizer puts one before a text, or the template writes one; else at most one."""
        self._needs_tokens()
        bos = self.tokenizer.bos_token_id
        if bos is None:
            pytest.skip("the tokenizer has no BOS")
        ids = self.make().prompt(SAMPLES[0]).token_ids
        wanted = self.tokenizer("x")["input_ids"][:1] == [bos]
        assert ids.count(bos) <= 1, "more than one BOS"
        assert ids[0] == bos or bos not in ids, "BOS is not at the beginning"
        assert ids[0] == bos or not wanted, "no BOS, though the tokenizer puts one before a text"

    def test_it_trims_by_whole_turns_and_keeps_what_is_around_them(self) -> None:
        """A prompt that is too long loses turns, never a part of one, and keeps its beginning and its header."""
        self._needs_tokens()
        whole, bare = self.make().prompt(LONG), self.make().prompt(Sample("none", ""))
        assert not whole.trimmed_turns and whole.turns == 40
        limit = (len(whole.token_ids) + len(bare.token_ids)) // 2
        cut = self.make(limit).prompt(LONG)
        assert len(cut.token_ids) <= limit, "the prompt is longer than the room there is"
        assert 0 < cut.trimmed_turns < 40
        kept = [turn for turn in LONG.dialogue.split("\n") if self._holds(cut, turn)]
        assert len(kept) == 40 - cut.trimmed_turns, "a turn was cut, or the count of those left out is wrong"
        again = self.make().prompt(Sample("long", "\n".join(kept)))
        assert cut.token_ids == again.token_ids, "a trimmed prompt is not the prompt of the turns it keeps"

    def _holds(self, prompt: Prompt, turn: str) -> bool:
        return turn in prompt.text

    def test_it_says_when_even_the_empty_prompt_does_not_fit(self) -> None:
        self._needs_tokens()
        with pytest.raises(ModelError):
            self.make(limit=1).prompt(LONG)

    def test_it_keeps_tags(self) -> None:
        """Speaker tags and masks survive decoding and reading, though a tokenizer may call them special."""
        made = self.make()
        assert TAG.findall(made.parse(_generation(SAID))) == TAG.findall(SAID), "parse loses tags"
        if self.tokenizer is not None:
            ids = self.tokenizer(SAID, add_special_tokens=False)["input_ids"]
            assert TAG.findall(made.decode(ids)) == TAG.findall(SAID), "decode loses tags"

    def test_it_reads_any_output(self) -> None:
        made = self.make()
        for text in ("", " \n ", "\ufffd", "요약:", "</think>", "가" * 5000):
            assert isinstance(made.parse(_generation(text)), str)
        assert made.parse(_generation("")) == ""

    def test_a_dialogue_is_treated_alike_whatever_others_are_in_its_batch(self) -> None:
        """Alone, after others and in another order: the same prompt and the same reading, so nothing is remembered."""
        alone = {s.id: self.make().prompt(s) for s in SAMPLES}
        read = {s.id: self.make().parse(_generation(s.references[0])) for s in SAMPLES}
        for order in (SAMPLES, SAMPLES[::-1]):
            made = self.make()
            assert {s.id: made.prompt(s) for s in order} == alone, "a prompt depends on those before it"
            assert {s.id: made.parse(_generation(s.references[0])) for s in order} == read


def _generation(text: str) -> Generation:
    return Generation("s", text, 1, 1, "stop", 0.0)


def _without(ids: list[int], bos: int | None) -> list[int]:
    while ids and ids[0] == bos:
        ids = ids[1:]
    return ids
