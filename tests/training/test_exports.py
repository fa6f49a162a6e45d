"""Trained weights in the hands of plain transformers and peft: the same tokens as here, and they stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tuning import environment, place, train, trained_entry

# Reads exports in a process of its own and lets them write with whatever they bring along.
READ_BACK = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig
prompt, packed = json.loads(sys.argv[1])
more = {}
if packed:
    more["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)
for folder in sys.argv[2:]:
    if folder == "adapter":
        from peft import PeftModel
        base = AutoModelForCausalLM.from_pretrained("mine", **more)
        if packed:
            base.dequantize()  # bitsandbytes' kernel for the CPU does not take rows as short as these
        model = PeftModel.from_pretrained(base, folder)
        model.generation_config = GenerationConfig.from_pretrained(folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], return_tensors="pt", return_dict=True)
    written = model.eval().generate(**ids)[0, ids["input_ids"].shape[1]:].tolist()
    print(json.dumps({"ids": written, "text": tokenizer.decode(written), "cache": model.config.use_cache}))
"""


def read_back(folder: Path, exports: list[str], prompt: str, packed: bool) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", READ_BACK, json.dumps([prompt, packed]), *exports], cwd=folder,
                          env=environment(), capture_output=True, text=True, timeout=500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(folder: Path, prompt: str) -> list[int]:
    """Ids that the engine writes for a dialogue, its end token included, as screening would."""
    from dsum_bench.adapters.base import AdapterContext
    from dsum_bench.adapters.build import build
    from dsum_bench.decoding.strategies import Greedy, GreedyParams
    from dsum_bench.engines.huggingface import HuggingFace
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import Placement, PluginSettings, PromptSpec, Sample

    entry = trained_entry(folder, "mine@x")
    engine = HuggingFace(entry, Placement("cpu", entry.dtype or "float32", entry.quantization, ""))
    loaded = engine.prepare(lambda text: None)
    engine.load(lambda text: None)
    context = AdapterContext(entry, PromptSpec("short", "{dialogue}"), "template", "ko", loaded.tokenizer, None)
    adapter = build(Plugins(PluginSettings(packages=())), context)
    asked = adapter.prompt(Sample("1", prompt))
    ((made,),) = engine.generate([asked], adapter, Greedy(GreedyParams(max_new_tokens=40)), lambda text: None)
    assert made.finish == "stop"
    return list(loaded.tokenizer(made.text + "<|im_end|>", add_special_tokens=False)["input_ids"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base whose files name another end token than its template writes, as many bases do."""
    found = place(tmp_path, [(f"#Person1#: 네 {i}.", "둘이 만난다.") for i in range(24)])
    (found / "mine" / "generation_config.json").unlink()
    return found


@pytest.mark.parametrize("recipe", ["lora", "qlora", "full"])
def test_an_export_writes_the_same_elsewhere_and_stops(recipe: str, folder: Path) -> None:
    from dsum_bench.provenance import read
    from dsum_bench.spec import Placement
    from dsum_bench.training.card import card
    from dsum_bench.training.export import MergeJob, copy, merge

    adapter = () if recipe == "full" else ("dropout=0.0", "lr=0.01")
    train(folder, "epochs=12", "lr=0.003", *adapter, recipe=recipe)
    entry = trained_entry(folder, "mine@x")
    result = folder / "results/models/mine@x"
    expected = written(folder, "#Person1#: 네 1.")
    exports = ["plain"] if recipe == "full" else ["adapter", "merged"]
    copy(result, folder / exports[0])
    if recipe != "full":
        placement = Placement("cpu", "float32", entry.quantization, "")
        merge(MergeJob("m", entry, placement, ("네",), folder / "merged", ""), lambda event: None)
    for out, found in zip(exports, read_back(folder, exports, "#Person1#: 네 1.", recipe == "qlora"), strict=True):
        assert found["text"] == "둘이 만난다.<|im_end|>" and found["ids"] == expected, (out, found)
        assert found["cache"] is True
        made = read(result)
        assert made is not None
        text = card(entry, made, [("rows dev, all", "rouge@mecab", "mean", 51.5, 4)], folder / out)
        assert str(folder) not in text and "not public, `mine`" in text
        assert ("load_in_4bit" in text) == (recipe == "qlora" and out == "adapter")
        assert ("PeftModel" in text) == (out == "adapter") == (folder / out / "adapter_config.json").is_file()
        metadata = text.split("---")[1]
        assert f"library_name: {'peft' if out == 'adapter' else 'transformers'}" in metadata
        assert "type: rouge" in metadata and "value: 51.5" in metadata and "language: ko" in metadata
