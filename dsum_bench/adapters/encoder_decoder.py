"""The adapter ``encoder_decoder``: BART, T5, mBART and their kin, which read the dialogue itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.families import is_encoder_decoder, model_type
from dsum_bench.adapters.prompts import places
from dsum_bench.adapters.text import Encoded, TextAdapter
from dsum_bench.errors import ModelError
from dsum_bench.spec import PromptSpec


@dataclass(frozen=True, slots=True)
class EncoderDecoderOptions:
    """prefix: text before the dialogue, such as T5's ``summarize: ``; ``{topic}: `` puts a field there.
    source_language, target_language: language codes of multilingual models (``ko_KR``), as their vocabulary has
        them; the output is made to begin with the second.
    wrap: put the tokenizer's BOS and EOS around the text; koBART was trained so, but its tokenizer adds neither.
    """

    prefix: str = ""
    source_language: str | None = None
    target_language: str | None = None
    wrap: bool = False


class EncoderDecoderAdapter(TextAdapter):
    """The dialogue, with what the tokenizer puts around a text."""

    name = "encoder_decoder"
    architecture = "encoder_decoder"
    prompt_style = "none"
    Options = EncoderDecoderOptions

    def __init__(self, context: AdapterContext, options: Any) -> None:
        super().__init__(context, options)
        if options.source_language:
            self._language_id("source_language")
            self.tokenizer.src_lang = options.source_language
        self.before, self.after = self._surroundings()

    @classmethod
    def refuses(cls, config: Mapping[str, Any]) -> str | None:
        kind = model_type(config)
        if not kind or is_encoder_decoder(config):
            return None
        return f"is not an encoder-decoder ({kind}); use adapter chat, or completion for a base model"

    @classmethod
    def fields(cls, prompt: PromptSpec | None, options: Any) -> tuple[str, ...]:
        return places(options.prefix)

    def encode(self, dialogue: str) -> Encoded:
        text = self.filled(self.options.prefix) + dialogue
        names = [self.tokenizer.convert_ids_to_tokens(ids) for ids in (self.before, self.after)]
        shown = "".join(names[0]) + text + "".join(names[1])
        return shown, [*self.before, *self.plain_ids(text), *self.after]

    def target(self, summary: str) -> tuple[int, ...]:
        before = (self._language_id("target_language"),) if self.options.target_language else ()
        return (*before, *super().target(summary))

    def generate_arguments(self) -> Mapping[str, object]:
        if not self.options.target_language:
            return {}
        return {"forced_bos_token_id": self._language_id("target_language")}

    def _surroundings(self) -> tuple[list[int], list[int]]:
        """Ids before and after every text."""
        if self.options.wrap:
            ends = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
            if None in ends:
                raise ModelError("option wrap needs a tokenizer with both BOS and EOS")
            return ends[:1], ends[1:]
        plain = self.plain_ids("x")
        whole: list[int] = self.tokenizer("x")["input_ids"]
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        raise ModelError("its tokenizer changes the text when it adds special tokens")

    def _language_id(self, option: str) -> int:
        code = getattr(self.options, option)
        found = self.token_id(code)
        if found not in self._control_ids or not hasattr(self.tokenizer, "src_lang"):
            raise ModelError(f"option {option} is '{code}', which is not a language code of its tokenizer")
        return found
