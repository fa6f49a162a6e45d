"""Every protocol check against a planted fault, in real sweeps over real tokenizers; a clean run raises nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripted_engine
import tiny
from commands import Dsum

from dsum_bench.fingerprints import dialogue_digests, prompt_fingerprint
from dsum_bench.plugins import Plugins
from dsum_bench.provenance import Provenance, write
from dsum_bench.registry.load import load
from dsum_bench.spec import PluginSettings, Sample
from dsum_bench.store.constant import judged_run
from dsum_bench.store.reader import run

# One test process makes the sweep that most tests here look at; the other goes on with other tests.
pytestmark = pytest.mark.xdist_group("faults")
PLUGIN = """
import dsum_bench
from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.adapters.llama3 import Llama3Adapter
from dsum_bench.spec import Prompt


class CutsRight(Llama3Adapter):
    name = "cuts-right"  # truncation=True, max_length=300 as in the study

    def prompt(self, sample):
        made = super().prompt(sample)
        return Prompt(made.sample_id, made.text, made.token_ids[:300], made.turns)


class TokenisesAgain(Llama3Adapter):
    name = "tokenises-again"

    def prompt(self, sample):
        made = super().prompt(sample)
        return Prompt(made.sample_id, made.text, (self.tokenizer.bos_token_id, *made.token_ids), made.turns)


class WithoutBos(Llama3Adapter):
    name = "without-bos"

    def prompt(self, sample):
        made = super().prompt(sample)
        return Prompt(made.sample_id, made.text, made.token_ids[1:], made.turns)


class SkipsSpecial(Llama3Adapter):
    name = "skips-special"

    def decode(self, token_ids):
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)


class WithoutEnd(ChatAdapter):
    name = "without-end"

    def end_ids(self):
        return ()


class Bans(Llama3Adapter):
    name = "bans"  # every token with a Latin letter, kana or ideograph

    def generate_arguments(self):
        banned = []
        for token in range(len(self.tokenizer)):
            text = self.tokenizer.decode([token])
            if any(c.isascii() and c.isalpha() or "\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" for c in text):
                banned.append([token])
        return {"bad_words_ids": banned}


class KeepsThoughts(Llama3Adapter):
    name = "keeps-thoughts"

    def summary(self, text):
        return text


class Breaks(dsum_bench.Check):
    name = "breaks"
    mark = "?"
    level = "note"
    meaning = "a check that raises"

    def after(self, written):
        raise KeyError("what")


class Mixed(dsum_bench.Metric):
    name = "mixed"
    measures = ("rouge1", "rouge2", "rougeL")
    needs_tokenizer = False
    signature = "mixed|v:1"

    def score(self, summary, sample):
        return {"rouge1": 20.0, "rouge2": 10.0, "rougeL": 30.0}


class Booked(dsum_bench.Metric):
    name = "booked"  # 94.51 - 56.20 - 24.35, as in the study
    measures = ("rouge1", "rouge2", "rougeL", "sum")
    needs_tokenizer = False
    signature = "booked|v:1"

    def score(self, summary, sample):
        return {"rouge1": 56.20, "rouge2": 24.35, "rougeL": 13.96, "sum": 94.51}


class Unadded(Booked):
    name = "unadded"
    signature = "unadded|v:1"

    def score(self, summary, sample):
        return {"rouge1": 50.0, "rouge2": 20.0, "rougeL": 40.0, "sum": 100.0}


class FallsBack(dsum_bench.MetricTokenizer):
    name = "fallback"
    signature = "mecab"

    def __call__(self, text):
        try:
            raise RuntimeError("no dictionary")
        except RuntimeError:
            return list(text.replace(" ", ""))


@dsum_bench.hookimpl
def dsum_register_adapters(register):
    for adapter in (CutsRight, TokenisesAgain, WithoutBos, SkipsSpecial, WithoutEnd, Bans, KeepsThoughts):
        register(adapter)


@dsum_bench.hookimpl
def dsum_register_checks(register):
    register(Breaks)


@dsum_bench.hookimpl
def dsum_register_metrics(register):
    for metric in (Mixed, Booked, Unadded):
        register(metric)


@dsum_bench.hookimpl
def dsum_register_tokenizers(register):
    register(FallsBack)
"""

MODELS: dict[str, str] = {
    "clean": "",
    "no-template": 'adapter = "completion"',
    "header-cut": 'adapter = "cuts-right"',
    "bos-doubled": 'adapter = "tokenises-again"',
    "bos-missing": 'adapter = "without-bos"',
    "trimmed": "max_prompt_tokens = 450",
    "padding-side": 'engine = "pads-right"',
    "end-tokens": 'adapter = "without-end"\nsource = "./other-end"',
    "added-tokens": 'source = "./with-tags"',
    "round-trip": 'source = "./with-tags"\nadapter = "skips-special"',
    "thinking": "",
    "thinking-scored": 'adapter = "keeps-thoughts"',
    "forbidden": 'adapter = "bans"',
    "short-limit": 'decoding = "short"',
    "cut": "",
    "empty": "",
    "identical": "",
    "echo": "",
    "not-above-constant": "",
    "prompt-changed": 'source = "./trained-otherwise"',
    "overlap": 'source = "./trained-on-dev"',
}
CODES = {"bos-doubled": "bos", "bos-missing": "bos", "thinking-scored": "thinking"}
BY_NATURE = {
    "dialogue-cut",
    "unlike-references",
    "added-tokens",
    "not-above-constant",
    "round-trip",
    "empty",
    "identical",
    "thinking",
}
"""What faults bring along: a model that writes the same everywhere does not beat the constant, and so on."""


def registry(folder: Path) -> None:
    tables = [f'plugins = ["faults.py", "{scripted_engine.FILE}"]']
    tables.append('[decodings.long]\nstrategy = "greedy"\nmax_new_tokens = 256')
    tables.append('[decodings.short]\nstrategy = "greedy"\nmax_new_tokens = 16')
    for name, keys in MODELS.items():
        given = {line.partition(" =")[0] for line in keys.split("\n")}
        usual = {"adapter": "llama3", "source": "./plain", "engine": "scripted", "decoding": "long"}
        lines = [f'{key} = "{value}"' for key, value in usual.items() if key not in given]
        tables.append("\n".join([f"[models.{name}]", *lines, keys]))
    (folder / "registry.toml").write_text("\n".join(tables), encoding="utf-8")
    (folder / "faults.py").write_text(PLUGIN, encoding="utf-8")


def dev() -> tuple[Sample, ...]:
    from dsum_bench.datasets.load import load as load_samples

    plugins = Plugins(PluginSettings(()))
    return load_samples(load(plugins=plugins, working_directory=Path("/")).dataset("samples-ko"), plugins, "dev")


def answers(samples: tuple[Sample, ...]) -> dict[str, dict[str, tuple[str, str]]]:
    """What each model writes: near the reference where nothing else is planted."""
    near = {s.id: " ".join([*s.references[0].split()[::2], "합니다."]) for s in samples}

    def each(change: Callable[[int, Sample], str], finish: str = "stop") -> dict[str, tuple[str, str]]:
        return {s.id: (change(i, s), finish) for i, s in enumerate(samples)}

    return {
        "clean": each(lambda i, s: near[s.id]),
        "thinking": each(lambda i, s: f"<think>음, {i}번째 대화다.</think>{near[s.id]}"),
        "thinking-scored": each(lambda i, s: f"<think>음, {i}번째 대화다.</think>{near[s.id]}"),
        "cut": each(lambda i, s: near[s.id], finish="length"),
        "empty": each(lambda i, s: ("", "...", near[s.id], near[s.id])[i % 4]),
        "identical": each(lambda i, s: "두 사람이 이야기를 나눕니다."),
        "echo": each(lambda i, s: f"{s.dialogue} {near[s.id]}"),
        "not-above-constant": each(lambda i, s: f"{i}번 글은 잘 모르겠습니다."),
    }


def checkpoints(folder: Path, tokenizer: Callable[[str], Any], samples: tuple[Sample, ...]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = tiny.decoder(folder / "plain", "llama", tokenizer("llama3"))
    for name in ("other-end", "trained-otherwise", "trained-on-dev"):
        shutil.copytree(plain, folder / name)
    # A base model's end token, left in place when a chat template was added.
    own = AutoTokenizer.from_pretrained(plain)
    own.eos_token = "<|end_of_text|>"
    own.save_pretrained(folder / "other-end")
    for file in ("config.json", "generation_config.json"):
        path = folder / "other-end" / file
        values = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(values | {"eos_token_id": own.eos_token_id}), encoding="utf-8")
    # FACT: speakers added as special tokens, their rows made by resize_token_embeddings and never trained.
    tagged = AutoTokenizer.from_pretrained(plain)
    tagged.add_special_tokens({"additional_special_tokens": [f"#Person{i}#" for i in range(1, 5)]})
    network = AutoModelForCausalLM.from_pretrained(plain)
    network.resize_token_embeddings(len(tagged))
    tiny.save(folder / "with-tags", network, tagged)
    prompt = load(working_directory=Path("/")).prompt("ko-default")
    right = prompt_fingerprint(prompt, "template")
    for name, asked, seen in (("trained-otherwise", "0" * 16, ()), ("trained-on-dev", right, samples[:3])):
        record = Provenance(
            "abc", "plain", "w", "llama3", asked, "mine", "train", dialogue_digests(s.dialogue for s in seen)
        )
        write(folder / name, record)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, tokenizer: Callable[[str], Any]) -> Path:
    """One sweep over all planted faults."""
    folder = tmp_path_factory.mktemp("faults")
    sweep(folder, tokenizer)
    return folder


def sweep(folder: Path, tokenizer: Callable[[str], Any]) -> None:
    samples = dev()
    checkpoints(folder, tokenizer, samples)
    registry(folder)
    scripted_engine.write_answers(folder, answers(samples))
    done = Dsum(folder)("screen", "--no-controls", "constant-ko", *MODELS, "--metric", "rouge@mecab")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said.txt").write_text(done.stdout + done.stderr, encoding="utf-8")


def findings(folder: Path, model: str) -> dict[str, tuple[str, str, int]]:
    """Check -> level, text and samples hit, as ``show`` tells them."""
    database = folder / "results" / "dsum.db"
    found = judged_run(database, run(database, model)).row.findings
    return {f.check: (f.level, f.text, f.hit) for f in found}


@pytest.mark.slow
def test_a_clean_run_raises_nothing(swept: Path) -> None:
    assert findings(swept, "clean") == {}
    assert findings(swept, "constant-ko") == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", [m for m in MODELS if m != "clean"])
def test_a_planted_fault_is_found_and_nothing_that_is_not_there(swept: Path, model: str) -> None:
    found = findings(swept, model)
    code = CODES.get(model, model)
    assert code in found, found
    assert set(found) - {code} <= BY_NATURE
    text = (swept / "said.txt").read_text(encoding="utf-8")
    assert f"{model}: {found[code][0]} [{code}] " in text


@pytest.mark.slow
def test_how_much_is_hit(swept: Path) -> None:
    assert findings(swept, "empty")["empty"][2] == 20
    assert "10 empty, 10 only punctuation" in findings(swept, "empty")["empty"][1]
    assert findings(swept, "overlap")["overlap"][2] == 3
    assert findings(swept, "cut")["cut"][2] == 40
    assert findings(swept, "thinking")["thinking"][0] == "warning"
    assert findings(swept, "thinking-scored")["thinking"][0] == "error"
    assert "more than once" in findings(swept, "bos-doubled")["bos"][1]
    assert "without BOS" in findings(swept, "bos-missing")["bos"][1]
    # By hand: a reference is hit when it holds a Latin letter; those of samples-ko name their speakers.
    latin = sum(all(any(c.isascii() and c.isalpha() for c in r) for r in s.references) for s in dev())
    assert findings(swept, "forbidden")["forbidden"][2] == latin > 30
    assert "<|eot_id|>" in findings(swept, "end-tokens")["end-tokens"][1]
    assert "#Person1#" in findings(swept, "added-tokens")["added-tokens"][1]


@pytest.mark.slow
def test_a_check_that_raises_loses_only_its_own_finding(swept: Path) -> None:
    assert "check breaks failed and was skipped: KeyError: 'what'" in (swept / "said.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_findings_are_marks_on_the_board_and_sentences_in_show(swept: Path) -> None:
    board = Dsum(swept)("leaderboard").stdout
    (line,) = [row for row in board.splitlines() if row.split()[1:2] == ["header-cut"]]
    assert line.split()[-1] == "Hd"  # what is cut from the right is the header and the end of the dialogue
    assert "H header-cut" in board
    shown = " ".join(Dsum(swept)("show", "header-cut", "--samples", "0").stdout.split())
    assert "error [header-cut] " in shown and "the adapter cuts prompts from the right" in shown


@pytest.mark.slow
def test_check_finds_without_generating_what_screen_finds_before(swept: Path) -> None:
    done = Dsum(swept)("check", "header-cut", "clean", "end-tokens", "--json")
    assert done.returncode == 1, done.stderr
    found = {m["model"]: [f["check"] for f in m["findings"]] for m in json.loads(done.stdout)}
    assert found == {"header-cut": ["header-cut", "dialogue-cut"], "clean": [], "end-tokens": ["end-tokens"]}


@pytest.mark.slow
def test_a_resumed_run_is_checked_over_all_its_samples(swept: Path, tmp_path: Path) -> None:
    shutil.copytree(swept / "results", tmp_path / "results")  # other tests read the sweep's own
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        (key,) = db.execute("select id from runs where model = 'header-cut'").fetchone()
        db.execute("delete from score_parts where run_id = ?", [key])
        db.execute("delete from outputs where run_id = ? and sample_id >= 'dev_2'", [key])
        before = db.execute(
            "select hit, total from findings where run_id = ? and code = 'header-cut'", [key]
        ).fetchone()
        db.execute("delete from findings where run_id = ?", [key])
    db.close()
    again = ("--metric", "rouge@mecab", "--results", str(tmp_path / "results"))
    assert Dsum(swept)("screen", "--no-controls", "header-cut", *again).returncode == 0
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        after = db.execute("select hit, total from findings where run_id = ? and code = 'header-cut'", [key]).fetchone()
    assert after == before and after[1] == 40


# -- scores and data, which need no model ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "code", "level"),
    [
        ("mixed", "rouge-shape", "error"),
        ("booked", "rouge-shape", "warning"),
        ("unadded", "sum", "error"),
        ("rouge@fallback", "character-tokens", "error"),
    ],
)
def test_values_that_cannot_be(dsum: Dsum, tmp_path: Path, metric: str, code: str, level: str) -> None:
    registry(tmp_path)
    assert dsum("screen", "--no-controls", "lead-3", "--metric", metric).returncode == 0
    assert {c: f[0] for c, f in findings(tmp_path, "lead-3").items()} == {code: level}


def test_the_usual_metrics_of_controls_raise_nothing(dsum: Dsum, tmp_path: Path) -> None:
    metrics = [f"--metric={p}@{t}" for p in ("rouge", "rouge-score") for t in ("mecab", "whitespace", "char")]
    assert dsum("screen", "--no-controls", "lead-3", "longest-3", "constant-ko", *metrics).returncode == 0
    assert [findings(tmp_path, m) for m in ("lead-3", "longest-3", "constant-ko")] == [{}, {}, {}]


def test_a_dialogue_that_occurs_twice_is_noted(dsum: Dsum, tmp_path: Path, tokenizer: Callable[[str], Any]) -> None:
    tiny.decoder(tmp_path / "plain", "llama", tokenizer("llama3"))
    registry(tmp_path)
    rows = [{"id": str(i), "dialogue": f"#Person1#: 안녕 {i % 3}", "summary": "인사합니다."} for i in range(4)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with (tmp_path / "registry.toml").open("a", encoding="utf-8") as file:
        file.write('\n[datasets.mine]\nformat = "jsonl"\npath = "d.jsonl"\n')
    done = dsum("check", "clean", "--dataset", "mine", "--json")
    (found,) = json.loads(done.stdout)[0]["findings"]
    assert (found["check"], found["level"], found["hit"]) == ("duplicates", "note", 2)
    assert done.returncode == 0


def test_every_builtin_check_says_what_it_is() -> None:
    checks = Plugins(PluginSettings(())).checks.values()
    marks = [check.mark for check in checks]
    assert len(marks) == len(set(marks)) and all(len(mark) == 1 for mark in marks)
    assert all(check.meaning and check.__doc__ for check in checks)
