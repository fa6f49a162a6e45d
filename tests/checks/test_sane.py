"""Ten sane set-ups in one sweep: five small models, four controls, a file of summaries. No check fires on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripted_engine
import tiny
from commands import Dsum
from making import builtins

from dsum_bench.datasets.load import load
from dsum_bench.registry.load import load as registry
from dsum_bench.store.constant import judged_run
from dsum_bench.store.reader import run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sane")]
DECODERS = {"llama3": "llama", "llama3_1": "llama", "qwen3": "qwen3", "gemma3": "gemma3"}
"""Published tokenizer -> architecture of the random weights under it."""
ADAPTERS = {"llama3": "llama3", "llama3_1": "llama3", "qwen3": "qwen", "gemma3": "gemma", "bart": "encoder_decoder"}
CONTROLS = ("constant-ko", "constant-fit", "lead-3", "longest-3")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, tokenizer: Callable[[str], Any], bart_tokenizer: Any) -> Path:
    folder = tmp_path_factory.mktemp("sane")
    plugins = builtins()
    samples = load(registry(plugins=plugins, working_directory=Path("/")).dataset("samples-ko"), plugins, "dev")
    # Every second word of a reference: better than a constant, and not the reference.
    summaries = {s.id: " ".join([*s.references[0].split()[::2], "합니다."]) for s in samples}
    scripted_engine.write_answers(folder, {"clean": {key: (text, "stop") for key, text in summaries.items()}})
    rows = [json.dumps({"id": key, "summary": text}, ensure_ascii=False) for key, text in summaries.items()]
    (folder / "file.jsonl").write_text("\n".join(rows), encoding="utf-8")
    for name, family in DECODERS.items():
        tiny.decoder(folder / name, family, tokenizer(name))
    tiny.bart(folder / "bart", bart_tokenizer, positions=1024)
    tables = [f'plugins = ["{scripted_engine.FILE}"]\n[decodings.long]\nstrategy = "greedy"\nmax_new_tokens = 256']
    tables += [
        f'[models.{name}]\nsource = "./{name}"\nadapter = "{adapter}"\nengine = "scripted"\ndecoding = "long"'
        for name, adapter in ADAPTERS.items()
    ]
    (folder / "registry.toml").write_text("\n".join(tables), encoding="utf-8")
    dsum = Dsum(folder)
    done = dsum("screen", *ADAPTERS, "--metric", "rouge@mecab")
    assert done.returncode == 0, done.stdout + done.stderr
    done = dsum("score", "file.jsonl", "--metric", "rouge@mecab")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("name", [*ADAPTERS, *CONTROLS, "file"])
def test_nothing_is_found_in_a_sane_run(swept: Path, name: str) -> None:
    database = swept / "results" / "dsum.db"
    record = judged_run(database, run(database, name))
    assert record.row.status == "done"
    assert record.row.findings == ()


def test_the_exact_prompt_of_the_first_sample_is_stored(swept: Path, tokenizer: Callable[[str], Any]) -> None:
    database = swept / "results" / "dsum.db"
    asked = run(database, "llama3").asked
    plugins = builtins()
    known = registry(plugins=plugins, working_directory=Path("/"))
    sample = load(known.dataset("samples-ko"), plugins, "dev")[0]
    prompt = known.prompt("ko-default")
    messages = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": prompt.user.replace("{dialogue}", sample.dialogue)},
    ]
    expected = tokenizer("llama3").apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert asked is not None
    assert (asked.sample_id, asked.text) == (sample.id, expected)
    assert run(database, "lead-3").asked is None
