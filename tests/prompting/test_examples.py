"""Examples chosen for each sample: which ones, in which order, never what is evaluated, and what was shown is kept."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import setups
import tiny
from commands import Dsum
from making import builtins

from dsum_bench import Bench, UserError
from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.adapters.completion import CompletionAdapter
from dsum_bench.datasets.load import load
from dsum_bench.fingerprints import asked_digest, sample_digest
from dsum_bench.prompting.examples import chosen, remembered
from dsum_bench.prompting.likeness import Dialogues
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import Example, ExampleChoice, PromptSpec, Sample
from dsum_bench.testing.making import CHATML, byte_tokenizer, make_adapter
from dsum_bench.training.texts import build_texts

LIKE = ExampleChoice("bm25", number=3)
CHANCE = ExampleChoice("random", number=3)
LETTERS = "가나다라마바사아자차카타파하"
ASKED = PromptSpec("p", "{topic}: {dialogue}", choose=LIKE)


def shipped(split: str) -> tuple[Sample, ...]:
    spec = registry(plugins=builtins(), working_directory=Path("/")).dataset("samples-ko")
    return load(spec, builtins(), split)


def words(text: str) -> list[str]:
    return text.split()


def numbered(count: int) -> list[Sample]:
    """Rows that have nothing in common but a word with their neighbours."""
    return [
        Sample(
            f"r{i}",
            f"#Person1#: 낱말{i} 이야기{i // 2} {'가나다라마바사아자차카타파하'[i % 14] * 9}",
            (f"요약 {i}",),
            str(i),
        )
        for i in range(count)
    ]


def lucene(query: Sequence[str], rows: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """BM25 as Lucene has it: idf = ln(1 + (N - n + 0.5) / (n + 0.5))."""
    average = sum(map(len, rows)) / len(rows)
    holding = Counter(word for row in rows for word in set(row))
    found = []
    for row in rows:
        counts = Counter(row)
        norm = k1 * (1 - b + b * len(row) / average)
        found.append(
            sum(
                math.log(1 + (len(rows) - holding[w] + 0.5) / (holding[w] + 0.5)) * counts[w] / (counts[w] + norm)
                for w in query
                if counts[w]
            )
        )
    return found


# -- which ones -----------------------------------------------------------------------------------------------------


def test_the_nearest_by_bm25_over_morphemes_stand_last() -> None:
    samples, pool = shipped("dev")[:12], shipped("train")
    cut = builtins().tokenizers["mecab"]()
    found = chosen(LIKE, samples, pool, (), cut)
    tagless = [list(cut(_untagged(s.dialogue))) for s in pool]
    for sample in samples:
        scores = lucene(cut(_untagged(sample.dialogue)), tagless)
        by_id = dict(zip((s.id for s in pool), scores, strict=True))
        shown = [by_id[e.id] for e in found[sample.id]]
        assert shown == pytest.approx(sorted(scores)[-3:], rel=1e-4)


def _untagged(dialogue: str) -> str:
    return re.sub(r"#\w+#", " ", dialogue)


def test_an_example_is_a_row_with_its_first_summary_and_its_fields() -> None:
    pool = numbered(6)
    found = chosen(
        LIKE, [Sample("q", "#Person1#: 낱말3 이야기1 그리고 여기에는 다른 말도 많이 있습니다")], pool, ("topic",), words
    )
    (*_, nearest) = found["q"]
    assert nearest == Example(pool[3].dialogue, "요약 3", {"topic": "3"}, "r3")


def test_chance_is_repeatable_and_each_samples_own() -> None:
    pool = numbered(30)
    some = [Sample(f"q{i}", f"#Person1#: 물음{i} {'엑스' * 9}{i}") for i in range(8)]
    first = chosen(CHANCE, some, pool, (), words)
    assert first == chosen(CHANCE, some, pool, (), words)
    assert chosen(CHANCE, some[3:4], pool, (), words)["q3"] == first["q3"]
    assert chosen(replace(CHANCE, seed=1), some, pool, (), words) != first
    assert len({tuple(e.id for e in shown) for shown in first.values()}) > 4


def test_models_that_share_a_prompt_share_its_examples() -> None:
    rows = tuple(numbered(12))
    asked = (LIKE, rows[:3], rows[3:], (), lambda: words, None)
    assert remembered(*asked) is remembered(*asked)
    assert remembered(*asked) == chosen(LIKE, rows[:3], rows[3:], (), words)
    changed = (LIKE, rows[:3], (*rows[3:11], replace(rows[11], references=("다른 요약",))), (), asked[4], None)
    assert remembered(*changed) is not remembered(*asked)


# -- never what is evaluated ------------------------------------------------------------------------------------------


def retold(dialogue: str) -> str:
    """The same conversation with a word changed in every turn."""
    return "\n".join(f"{turn.rsplit(' ', 1)[0]} 그렇죠" for turn in dialogue.split("\n"))


@pytest.mark.parametrize("choice", [replace(LIKE, number=40), replace(CHANCE, number=40)])
def test_no_evaluated_row_and_no_near_copy_of_one_is_shown(choice: ExampleChoice) -> None:
    samples = shipped("dev")[:10]
    planted = [
        replace(samples[0], id="same"),
        replace(samples[1], id="spaces", dialogue=samples[1].dialogue.replace(" ", "  ") + "\n"),
        replace(samples[2], id="retold", dialogue=retold(samples[2].dialogue)),
        replace(samples[3], id="longer", dialogue=samples[3].dialogue + "\n" + shipped("train")[0].dialogue),
        replace(samples[4], id="half", dialogue="\n".join(samples[4].dialogue.split("\n")[:3])),
    ]
    pool = [*planted, *shipped("train"), *samples]
    found = chosen(choice, samples, pool, (), builtins().tokenizers["mecab"]())
    shown = {e.id for examples in found.values() for e in examples}
    assert len(shown) == len(shipped("train"))
    assert not shown & ({s.id for s in samples} | {s.id for s in planted})


def test_a_training_row_is_no_example_of_itself_and_dev_of_none() -> None:
    rows = numbered(20)
    train, dev = rows[:16], rows[16:]
    found = chosen(replace(LIKE, number=30), train, rows, (), words, held=dev)
    for row in train:
        shown = {e.id for e in found[row.id]}
        assert row.id not in shown and not shown & {s.id for s in dev}
        assert len(shown) == 15


def test_a_pool_without_any_example_is_refused() -> None:
    rows = numbered(4)
    with pytest.raises(UserError, match="no row of split 'train' can be an example"):
        chosen(LIKE, rows, rows, (), words)
    with pytest.raises(UserError, match="no row of split 'train' can be an example"):
        chosen(LIKE, rows[:1], [replace(r, topic=None) for r in rows[1:]], ("topic",), words)


def test_different_conversations_are_no_copies() -> None:
    everything = [s.dialogue for split in ("train", "dev", "test") for s in shipped(split)]
    index = Dialogues(everything)
    assert [index.copied(d) for d in everything] == [[i] for i in range(len(everything))]


# -- the overlap check -------------------------------------------------------------------------------------------------


def found_by_checks(prompt: PromptSpec, samples: Sequence[Sample]) -> Any:
    adapter = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), prompt)
    return setups.found(setups.setup(adapter, samples)).get("overlap")


def test_the_overlap_check_fires_on_a_planted_leak_and_on_nothing_else() -> None:
    plain = replace(ASKED, user="{dialogue}")
    samples = list(shipped("dev")[:8])
    found = chosen(LIKE, samples, shipped("train"), (), words)
    shown = [replace(s, examples=found[s.id]) for s in samples]
    assert found_by_checks(plain, shown) is None
    leak = Example(retold(samples[5].dialogue), "요약", id="leak")
    planted = [replace(s, examples=(leak, *s.examples)) if s.id == samples[2].id else s for s in shown]
    finding = found_by_checks(plain, planted)
    assert finding is not None and (finding.level, finding.hit, finding.total) == ("error", 1, 8)
    assert f"(sample {samples[5].id})" in finding.text
    fixed = replace(plain, choose=None, examples=(Example(retold(samples[1].dialogue), "요약"),))
    finding = found_by_checks(fixed, samples)
    assert finding is not None and finding.hit == 1


# -- in the prompt -----------------------------------------------------------------------------------------------------

FAR = Example("#Person1#: 먼 것", "멀다.", {"topic": "멂"}, "far")
NEAR = Example("#Person1#: 가까운 것", "가깝다.", {"topic": "가까움"}, "near")
SAMPLE = Sample("q", "#Person1#: 물음", ("답.",), "주제", examples=(FAR, NEAR))
FIXED = Example("#Person1#: 정해진 것", "정해졌다.", {"topic": "정함"})


def test_chosen_examples_follow_the_fixed_ones_and_the_nearest_comes_last() -> None:
    prompt = replace(ASKED, examples=(FIXED,))
    made = make_adapter(CompletionAdapter, byte_tokenizer(adds_bos=False), prompt).prompt(SAMPLE)
    assert made.text == (
        "정함: #Person1#: 정해진 것\n정해졌다.\n\n멂: #Person1#: 먼 것\n멀다.\n\n"
        "가까움: #Person1#: 가까운 것\n가깝다.\n\n주제: #Person1#: 물음"
    )
    assert made.shown == ("far", "near")
    chat = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), prompt).prompt(SAMPLE)
    assert chat.text.count("<|im_start|>assistant") == 4 and chat.shown == ("far", "near")


def test_a_budget_of_tokens_and_the_room_of_a_prompt_take_the_farthest_first() -> None:
    def made(limit: int | None = None, **choice: Any) -> Any:
        prompt = replace(ASKED, choose=replace(LIKE, number=None, **choice))
        return make_adapter(CompletionAdapter, byte_tokenizer(adds_bos=False), prompt, limit=limit).prompt(SAMPLE)

    whole, bare = made(tokens=10_000), made(tokens=1)
    assert (whole.shown, bare.shown) == (("far", "near"), ())
    tokens = len(whole.token_ids) - len(bare.token_ids)
    assert made(tokens=tokens).shown == ("far", "near")
    assert made(tokens=tokens - 1).shown == ("near",)
    assert made(limit=len(whole.token_ids) - 1).shown == ("near",)
    tight = made(limit=len(bare.token_ids))
    assert (tight.shown, tight.trimmed_chars, tight.dialogue) == ((), 0, SAMPLE.dialogue)
    assert made(limit=len(bare.token_ids) - 3).trimmed_chars == 1


def test_training_texts_show_the_same_examples() -> None:
    adapter = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), ASKED)
    (text,) = build_texts(adapter, [SAMPLE], 4096)
    ids = adapter.prompt(SAMPLE).token_ids
    assert text.input_ids[: len(ids)] == ids
    short = len(make_adapter(ChatAdapter, adapter.tokenizer, ASKED).prompt(replace(SAMPLE, examples=())).token_ids) + 20
    (text,) = build_texts(adapter, [SAMPLE], short)  # examples make room, the dialogue stays
    assert text.trimmed == 0 and len(text.input_ids) <= short


# -- keys and the store ------------------------------------------------------------------------------------------------


def test_what_is_shown_is_part_of_what_is_asked() -> None:
    other = replace(SAMPLE, examples=SAMPLE.examples[1:])
    assert sample_digest(SAMPLE) != sample_digest(other) != sample_digest(replace(SAMPLE, examples=()))
    assert asked_digest([SAMPLE], ()) != asked_digest([other], ()) != ""


def test_what_each_sample_was_shown_is_stored_and_printed(tmp_path: Path) -> None:
    tiny.decoder(tmp_path / "llama", "llama", byte_tokenizer(CHATML, adds_bos=False))
    (tmp_path / "registry.toml").write_text(
        '[models.small]\nsource = "./llama"\nadapter = "chat"\n'
        '[datasets.d]\nformat = "jsonl"\npath = "{split}.jsonl"\n'
        '[prompts.like]\nuser = "{dialogue}"\nchoose = { by = "bm25", number = 2 }\n',
        encoding="utf-8",
    )
    for split, rows in (("dev", numbered(12)[10:]), ("train", numbered(10))):
        lines = (json.dumps({"id": r.id, "dialogue": r.dialogue, "summary": r.references[0]}) for r in rows)
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    dsum = Dsum(tmp_path)
    call = ("--dataset", "d", "--prompt", "like", "--set", "max_new_tokens=4", "--no-controls")
    done = dsum("screen", "small", *call)
    assert done.returncode == 0, done.stderr
    bench = Bench(registry=tmp_path / "registry.toml", results=tmp_path / "results", progress=None)
    (candidate,) = bench.plan("small", "d", prompt="like", controls=False)
    from dsum_bench.store import reader

    run = reader.run(bench.database, "small")
    assert run.row.treatment == "2-shot bm25"
    for sample in reader.samples(bench.database, run.row.run_id):
        wanted = tuple(e.id for e in candidate.examples[sample.sample_id])
        assert sample.shown == wanted and len(wanted) == 2
        assert f"examples: {', '.join(wanted)}" in " ".join(dsum("show", "--sample", sample.sample_id).stdout.split())


def test_examples_without_room_are_told_of() -> None:
    def trimmed(limit: int | None, **choice: Any) -> Any:
        prompt = replace(ASKED, choose=replace(LIKE, **choice))
        adapter = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), prompt, limit=limit)
        return setups.found(setups.setup(adapter, [SAMPLE])).get("trimmed")

    assert trimmed(None) is None and trimmed(None, tokens=200) is None
    bare = len(make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), ASKED).prompt(SAMPLE).token_ids)
    assert "have no room for all examples" in trimmed(bare - 1).text
    assert "have no room for all examples" in trimmed(None, tokens=1).text


@pytest.mark.parametrize(
    ("choose", "told"),
    [
        ('{ by = "bm26" }', 'must be "bm25" or "random"'),
        ('{ by = "bm25", number = 0 }', "number must be at least 1"),
        ('{ by = "bm25", split = "trian" }', "no split 'trian'"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(choose: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(f'[prompts.x]\nuser = "{{dialogue}}"\nchoose = {choose}\n', encoding="utf-8")
    with pytest.raises(UserError, match=told):
        Bench(registry=tmp_path / "r.toml", progress=None).plan("smollm2-135m", prompt="x", controls=False)
