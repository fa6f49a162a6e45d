"""A tokenizer of koBART's kind, trained here on the dialogues that the project ships.

It has koBART's normaliser, word marks, control tokens and their ids, and like koBART it knows no bytes: a character
outside its vocabulary is <unk>. What is published about koBART itself is tested with the real one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[2] / "dsum_bench" / "datasets" / "samples_ko"
CONTROL = ["<s>", "</s>", "<usr>", "<pad>", "<sys>", "<unk>", "<mask>", *(f"<unused{i}>" for i in range(20))]
SIZE = 4000


@cache
def trained() -> Any:
    """The tokenizer, one object per process; do not change it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    bert = normalizers.BertNormalizer(False, False, False, False)
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), bert])
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=CONTROL, initial_alphabet=alphabet(), show_progress=False
    )
    inner.train_from_iterator(texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        clean_up_tokenization_spaces=False,
    )


def alphabet() -> list[str]:
    """Printable ASCII and the 2,350 syllables of KS X 1001, which nearly all Korean text is written with."""
    syllables = (chr(code) for code in range(0xAC00, 0xD7A4))
    return [*map(chr, range(33, 127)), *(s for s in syllables if len(s.encode("euc_kr")) == 2)]


def texts() -> Iterator[str]:
    """Dialogues and summaries without their tags, which koBART spells letter by letter too."""
    for file in sorted(SAMPLES.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            summaries = [row["summary"]] if isinstance(row["summary"], str) else row["summary"]
            yield from (re.sub(r"#\w+#", " ", text) for text in (row["dialogue"], *summaries))
