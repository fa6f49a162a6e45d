"""Learning which of two stored summaries is better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from assets import need, trl_folder
from commands import patience
from inprocess import InProcess
from making import make, small
from tuning import CHATML, job_of, place, points

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.provenance import read
from dsum_bench.spec import Preferences
from dsum_bench.training.pairs import build_pairs
from dsum_bench.training.texts import TrainingText

ROWS = [(f"#Person1#: 사과 {i}개를 주세요.\n#Person2#: 네, 여기 있습니다.", f"#Person1#이 사과 {i}개를 산다.")
        for i in range(12)]  # fmt: skip
SETTINGS = {"max_tokens": 256, "batch": 4, "accumulate": 1, "lr": 0.001, "schedule": "constant", "warmup": 0.0,
            "optimizer": "adamw_torch", "max_grad_norm": 1.0, "r": 4, "alpha": 8.0, "beta": 0.1,
            "group_by_length": False}  # fmt: skip
ASKED: dict[str, Any] = {"dataset": "rows", "dev_limit": 0, "screen": False, "executor": "inprocess"}
STEPS = 6


def learnt(i: int) -> str:
    return f"#Person1#이 사과 {i}개를 사고 싶어 한다."


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two runs on the training split: ``close`` retells, ``far`` does not; the last two rows are faulty in close."""
    monkeypatch.chdir(place(tmp_path, ROWS))
    bench = Bench(plugins=[InProcess], progress=None)
    ids = [str(i) for i in range(12)]
    close = [learnt(i) for i in range(10)] + ["", ROWS[11][0].splitlines()[0]]
    bench.score(pd.DataFrame({"id": ids, "summary": close}), "close", "rows", split="train", allow_missing=True)
    far = [f"#Person2#이 배 {i}상자를 판매한다고 말한다." for i in range(12)]
    bench.score(pd.DataFrame({"id": ids, "summary": far}), "far", "rows", split="train")
    return bench


def ranked(bench: Bench, *runs: str, metric: str | None = None, gap: float | None = None) -> Preferences:
    found = bench._preferences(runs or ("close", "far"), metric, gap, None)
    assert found is not None
    return found


# -- pairs --------------------------------------------------------------------------------------------------------


def test_the_better_summary_comes_first_whatever_the_order_of_the_runs(bench: Bench) -> None:
    found = ranked(bench)
    assert sorted(found.pairs.values())[0] == (learnt(0), "#Person2#이 배 0상자를 판매한다고 말한다.")
    assert all("사과" in better and "배" in worse for better, worse in found.pairs.values())
    assert ranked(bench, "far", "close").pairs == found.pairs
    # Of row 10 only one summary is there. That of row 11 copies a turn, so that it may be the worse one at most.
    assert found.total == 11 and len(found.pairs) == 10 and sum(found.dropped.values()) == 1
    assert str(found).startswith("10 pairs by rouge@mecab from 11 dialogues of close, far (without 1 ")


def test_pairs_are_as_far_apart_as_the_stored_scores_say(bench: Bench) -> None:
    gaps = (bench.scores("close")["mean"] - bench.scores("far")["mean"]).iloc[:10]
    middle = float(gaps.median())
    assert len(ranked(bench, gap=middle).pairs) == int((gaps >= middle).sum()) < 10
    with pytest.raises(UserError, match=r"no pair is left, .*; the widest gap is \d+\.\d\d, see --min-gap"):
        ranked(bench, gap=99.0)
    with pytest.raises(UserError, match=r"has no scores of bertscore; it has .*rouge@mecab"):
        ranked(bench, metric="bertscore")


def test_equal_summaries_make_no_pair(bench: Bench) -> None:
    same = pd.DataFrame({"id": [str(i) for i in range(12)], "summary": [learnt(i) for i in range(12)]})
    bench.score(same, "same", "rows", split="train")
    found = ranked(bench, "close", "same", gap=0.0)
    assert found.dropped == {"equally good": 10}
    assert list(found.pairs.values()) == [(learnt(11), ROWS[11][0].splitlines()[0])]  # no check finds fault with it


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"preferences": ["close"]}, "needs two or more runs"),
        ({"preferences": ["close", "close"]}, "needs two or more runs"),
        ({"preferences": ["close", "nobody"]}, "no run or model 'nobody'"),
        ({"preferences": ["close", "far"], "limit": 5}, "5 training dialogues have a pair, and 8 are needed"),
        ({"preferences": ["close", "far"], "recipe": "lora"}, "learns summaries, not --preferences; use --recipe dpo"),
        ({"preferences": ["close", "far"], "targets": "close"}, "--targets and --preferences cannot be combined"),
        ({"preferences": ["close", "far"], "settings": {"packing": True}}, "packing is for summaries"),
        ({"preferences": ["close", "far"], "settings": {"beta": 0}}, "beta must be more than 0"),
        ({"recipe": "dpo"}, "give --preferences RUN"),
        ({"rank_by": "rouge@mecab"}, "give --preferences RUN"),
        ({"min_gap": 1.0}, "give --preferences RUN"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(bench: Bench, more: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        bench.finetune("mine", **ASKED | more)


def test_both_summaries_follow_one_prompt_that_leaves_room_for_the_longer(bench: Bench) -> None:
    adapter = make("chat", small(CHATML, bos=None), "ko-default")
    turns = "\n".join(f"#Person{1 + i % 2}#: {i}번째 말입니다." for i in range(30))
    from dsum_bench.spec import Sample

    sample = Sample("a", turns, ("짧다.", "이쪽이 훨씬 더 긴 요약입니다. " * 4), None)
    (text,) = build_pairs(adapter, [sample], 1300)
    assert text.rejected is not None and text.trimmed > 0
    (better, worse) = (len(adapter.target(r)) for r in sample.references)
    assert text.input_ids[:-better] == text.rejected.input_ids[:-worse]
    assert text.input_ids[-better:] == adapter.target(sample.references[0])
    assert text.rejected.input_ids[-worse:] == adapter.target(sample.references[1])
    assert len(text.rejected.input_ids) <= 1300 < len(text.rejected.input_ids) + 100


# -- the loss -----------------------------------------------------------------------------------------------------


def pairs_of(bench: Bench, method: str, **changes: Any) -> Any:
    """A job of the eight first pairs."""
    settings = [
        f"{k}={json.dumps(v) if isinstance(v, bool) else v}"
        for k, v in (SETTINGS | {"batch": 8, "epochs": STEPS} | changes).items()
    ]
    return job_of(Path.cwd(), *settings, recipe=method, preferences=ranked(bench), limit=8,
                  name="-".join([method, *changes]))  # fmt: skip


def curve(bench: Bench, method: str, **changes: Any) -> list[float]:
    from dsum_bench.training import worker

    told: list[Any] = []
    worker.run(pairs_of(bench, method, **changes), told.append)
    return [value for _, value in points(told)]


def texts_of(job: Any) -> list[Any]:
    adapter = make("chat", small(CHATML, bos=None), job.spec.prompt)
    return build_pairs(adapter, job.train, 256)


def split(text: Any) -> tuple[list[int], list[int]]:
    prompt = sum(label == -100 for label in text.labels)
    return list(text.input_ids[:prompt]), list(text.input_ids[prompt:])


def trl(asked: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """The losses of TRL's own trainers."""
    Path("asked.json").write_text(json.dumps(asked), encoding="utf-8")
    paths = [str(need(lambda _: trl_folder(), "trl")), *(p for p in [os.environ.get("PYTHONPATH")] if p)]
    script = Path(__file__).parents[1] / "support" / "trl_alone.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
                                "TRL_EXPERIMENTAL_SILENCE": "1"}  # fmt: skip
    done = subprocess.run([sys.executable, str(script), "asked.json"], env=environment, capture_output=True, text=True,
                          timeout=patience(), check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.network
def test_the_losses_are_those_of_trl_alone(bench: Bench) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("dpo", {}), ("dpo", {"batch": 4, "accumulate": 2, "beta": 0.5}), ("orpo", {})
    ]  # fmt: skip
    rows = []
    for text in texts_of(pairs_of(bench, "dpo")):
        assert text.rejected is not None
        (prompt, better), (_, worse) = split(text), split(text.rejected)
        rows.append({"prompt": prompt, "better": better, "worse": worse})
    fixed = {k: SETTINGS[k] for k in ("accumulate", "lr", "r", "alpha", "beta")}
    fixed |= {"batch": 8, "steps": STEPS, "seed": 42, "folder": "mine", "rows": rows}
    theirs = trl([fixed | changes | {"method": method} for method, changes in cases])
    for (method, changes), expected in zip(cases, theirs, strict=True):
        found = curve(bench, method, **changes)
        assert len(found) == len(expected) == STEPS and found[-1] < found[0]
        assert found == pytest.approx(expected, rel=2e-4), method
        if method == "dpo":
            assert round(found[0], 4) == round(expected[0], 4) == 0.6931


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_an_encoder_decoder_learns_by_the_papers_formula(bench: Bench, method: str, bart_tokenizer: Any) -> None:
    import tiny

    tiny.bart(Path("bart"), bart_tokenizer)  # its configuration drops a tenth of everything
    settings = [
        f"{k}={json.dumps(v) if isinstance(v, bool) else v}"
        for k, v in (SETTINGS | {"batch": 4, "accumulate": 2, "epochs": 4}).items()
    ]
    job = job_of(Path.cwd(), *settings, recipe=method, preferences=ranked(bench), limit=8, model="bart")
    from dsum_bench.training import worker

    told: list[Any] = []
    worker.run(job, told.append)
    found = [value for _, value in points(told)]
    adapter = make("encoder_decoder", bart_tokenizer, job.spec.prompt, wrap=True)
    assert found == pytest.approx(by_hand(method, build_pairs(adapter, job.train, 256), 4), rel=1e-4)
    assert found[-1] < found[0]
    if method == "dpo":
        assert round(found[0], 4) == 0.6931


def by_hand(method: str, texts: Sequence[TrainingText], steps: int) -> list[float]:
    """The losses of a plain loop over BART, one text at a time. ORPO's text loss is a mean over the whole batch."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn.functional import logsigmoid
    from transformers import AutoModelForSeq2SeqLM

    network = AutoModelForSeq2SeqLM.from_pretrained("bart", dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
    torch.manual_seed(42)
    config = LoraConfig(r=4, lora_alpha=8.0, target_modules="all-linear", task_type="SEQ_2_SEQ_LM")
    network = get_peft_model(network, config)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.001, weight_decay=0.0)

    def log_prob(text: Any) -> Any:
        labels = torch.tensor([text.labels])
        told = network(input_ids=torch.tensor([text.input_ids]), labels=labels).logits.log_softmax(-1)
        return told.gather(2, labels.unsqueeze(2)).sum()

    with torch.no_grad():
        before = [(log_prob(t), log_prob(t.rejected)) for t in texts]
    losses = []
    for _ in range(steps):
        better, worse = (torch.stack([log_prob(part) for part in side])
                         for side in (texts, [t.rejected for t in texts]))  # fmt: skip
        if method == "dpo":
            gain = better - worse - torch.stack([b - w for b, w in before])
            loss = -logsigmoid(0.1 * gain).mean()
        else:
            sizes = torch.tensor([[len(t.labels), len(t.rejected.labels)] for t in texts])  # type: ignore[union-attr]
            p, q = (better / sizes[:, 0]).exp(), (worse / sizes[:, 1]).exp()
            odds = (p / (1 - p)).log() - (q / (1 - q)).log()
            loss = -better.sum() / sizes[:, 0].sum() - 0.1 * logsigmoid(odds).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


# -- a run --------------------------------------------------------------------------------------------------------


def finetune(bench: Bench, name: str, **more: Any) -> Any:
    settings = SETTINGS | {"epochs": 5, "batch": 2, "save_steps": 4} | more.pop("settings", {})
    return bench.finetune("mine", name=name, preferences=["close", "far"], settings=settings, **ASKED | more)


def test_a_run_says_what_it_learnt_and_can_be_made_again(bench: Bench, tmp_path: Path) -> None:
    result = finetune(bench, "x", dev_limit=4)
    assert result.models == ("mine@x",)
    losses = bench.curve("mine@x").query("measure == 'loss'")["value"]
    assert len(losses) == 25 and round(float(losses.iloc[0]), 4) == 0.6931 and losses.iloc[-5:].mean() < 0.6
    assert {"eval_loss", "eval_rouge"} <= set(bench.curve("mine@x")["measure"])
    made = read(tmp_path / "results/models/mine@x")
    assert made is not None and made.recipe["name"] == "dpo" and len(made.dialogues) == 10
    told = str(made.recipe["preferences"])
    assert "10 pairs by rouge@mecab from 11 dialogues of close, far" in told
    assert all(bench.run(name).row.run_id in told for name in ("close", "far"))
    card = (bench.export("mine@x", tmp_path / "out") / "README.md").read_text("utf-8")
    assert "learnt which is better: runs " in card
    config = bench.config(tmp_path / "results/models/mine@x/finetune.toml")
    assert [bench.run(r).row.model for r in config["preferences"]] == ["close", "far"]
    assert (config["rank_by"], config["min_gap"], config["recipe"]) == ("rouge@mecab", 5.0, "dpo")
    # Asked in another way for the same pairs, it is the same run.
    assert "trained before" in finetune(bench, "x", dev_limit=4, rank_by="rouge@mecab").trainings[0].reason


def test_a_killed_run_resumes_with_the_probabilities_of_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    finetune(bench, "whole")
    monkeypatch.setattr(InProcess, "ran", [])
    monkeypatch.setattr(InProcess, "kill_after", 0)
    with pytest.raises(KeyboardInterrupt):
        finetune(bench, "killed")
    monkeypatch.setattr(InProcess, "kill_after", None)
    assert 8 < len(bench.curve("mine@killed").query("measure == 'loss'")) < 25
    finetune(bench, "killed")
    whole, resumed = (bench.curve(f"mine@{n}").query("measure == 'loss'") for n in ("whole", "killed"))
    assert list(resumed["step"]) == list(whole["step"]) == list(range(1, 26))
    assert list(resumed["value"]) == pytest.approx(list(whole["value"]), abs=1e-5)


def test_an_adapter_is_held_to_what_it_was_not_to_its_base(bench: Bench) -> None:
    learn = {k: v for k, v in SETTINGS.items() if k != "beta"} | {"epochs": 2, "batch": 2, "lr": 0.01}
    bench.finetune("mine", name="first", settings=learn, recipe="lora", **ASKED)
    shape = {k: v for k, v in SETTINGS.items() if k not in ("r", "alpha")} | {"epochs": 2}
    bench.finetune("mine@first", name="then", settings=shape, preferences=["close", "far"], **ASKED)
    losses = bench.curve("mine@then").query("measure == 'loss'")["value"]
    assert round(float(losses.iloc[0]), 4) == 0.6931 and losses.iloc[-1] < losses.iloc[0]


def test_a_dry_run_counts_the_pairs_of_a_batch_twice(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = {method: pairs_of(bench, method) for method in ("dpo", "orpo")}
    plans = {}
    for method, job in jobs.items():
        from dataclasses import replace

        from dsum_bench.training import worker

        told: list[Any] = []
        worker.run(replace(job, plan_only=True), told.append)
        (plans[method],) = [event.figures for event in told if hasattr(event, "figures")]
    texts = texts_of(jobs["dpo"])
    every = [*texts, *(t.rejected for t in texts)]
    assert plans["dpo"].rows == 8 and plans["dpo"].tokens == sum(len(t.input_ids) for t in every)
    assert plans["dpo"].steps == STEPS and plans["orpo"].memory["logits"] > plans["dpo"].memory["logits"]
