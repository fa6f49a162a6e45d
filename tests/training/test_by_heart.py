"""A small BART learns its rows by heart, and plain transformers writes them from the export and stops."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
from tuning import REGISTRY, environment, train, write_rows

from dsum_bench.training.export import copy

COUNT = 32
# Reads the export in a process of its own, without anything of ours, and lets it write with what it brings along.
READ_BACK = """
import json, sys
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("out")
model = AutoModelForSeq2SeqLM.from_pretrained("out").eval()
for line in open("train.jsonl", encoding="utf-8"):
    text = tokenizer.bos_token + json.loads(line)["dialogue"] + tokenizer.eos_token
    asked = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    ids = model.generate(input_ids=asked["input_ids"], attention_mask=asked["attention_mask"])[0].tolist()
    print(json.dumps(ids))
"""


def pairs() -> list[tuple[str, str]]:
    """Dialogues of one shape that differ in what they are about, which only the encoder can tell."""
    things = ["사과", "포도", "연필", "지도", "우산", "시계", "버스", "편지"]
    places = ["서울", "부산", "대구", "제주"]
    made = [(thing, place) for thing in things for place in places]
    return [(f"#Person1#: {t} 있어요?\n#Person2#: {p}에 있어요.", f"#Person2#은 {t}가 {p}에 있다고 말합니다.")
            for t, p in made]  # fmt: skip


def network(tokenizer: Any) -> Any:
    """BART's own initial spread of 0.02 is for 12 layers of 768: at this size its decoder would learn the summaries
    without ever looking at the encoder, which the loss hardly shows and the outputs do."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    ends = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in
              (("layers", 2), ("attention_heads", 4), ("ffn_dim", 512))}  # fmt: skip
    torch.manual_seed(0)
    return BartForConditionalGeneration(
        BartConfig(vocab_size=len(tokenizer), d_model=128, dropout=0.0, init_std=0.1, max_position_embeddings=256,
                   forced_eos_token_id=None, decoder_start_token_id=tokenizer.eos_token_id, **layers, **ends)
    )  # fmt: skip


@pytest.mark.slow
def test_a_small_bart_learns_32_rows_by_heart_and_stops_by_itself(tmp_path: Path, bart_tokenizer: Any) -> None:
    folder, rows = tmp_path, pairs()
    assert len(rows) == COUNT
    tiny.save(folder / "bart", network(bart_tokenizer), bart_tokenizer)
    (folder / "bart/generation_config.json").unlink()  # many a base has none
    (folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    write_rows(folder, "train", rows)
    train(folder, "lr=1e-3", "warmup=0.1", "epochs=60", "batch=2", "accumulate=4", "weight_decay=0.0", "choose_by=last",
          model="bart", recipe="full")  # fmt: skip
    copy(folder / "results/models/bart@x", folder / "out")
    done = subprocess.run([sys.executable, "-c", READ_BACK], cwd=folder, env=environment(), capture_output=True,
                          text=True, timeout=1000, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [json.loads(line) for line in done.stdout.splitlines()]
    start = end = bart_tokenizer.eos_token_id
    wanted = [[start, *bart_tokenizer(summary, add_special_tokens=False)["input_ids"], end] for _, summary in rows]
    assert written == wanted
