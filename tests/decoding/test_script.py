"""Outputs kept to a script: against a regular expression, transformers' own prefix constraint and a naive reading."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.decoding import script
from dsum_bench.decoding.automaton import Automaton, CharacterSet
from dsum_bench.decoding.base import Batch
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.decoding.token_bytes import TokenBytes, vocabulary
from dsum_bench.errors import ModelError
from dsum_bench.spec import Prompt, Sample

BYTES = TokenBytes([bytes([b]) for b in range(256)])
DIALOGUE = "#Person1#: Tom, NASA에 가요?\n#Person2#: 네, #PhoneNumber#로 전화해요."
REAL = ("llama3", "qwen3", "gemma3", "trained")


def is_foreign(character: str) -> bool:
    """A reading of its own: a letter or number, in what the character stands for, that is not Hangul or 0 to 9."""
    if character == "\ufffd":
        return True
    parts = unicodedata.normalize("NFKC", character)
    names = [unicodedata.name(c, "") for c in parts if unicodedata.category(c)[0] in "LNM"]
    return any(not n.startswith("HANGUL") for n in names if n.partition(" ")[0] != "DIGIT" or len(n.split()) != 2)


def foreign(text: str, literals: tuple[str, ...] = ()) -> str:
    for literal in sorted(literals, key=len, reverse=True):
        text = text.replace(literal, "")
    return "".join(c for c in text if is_foreign(c))


# -- the language -------------------------------------------------------------------------------------------------


def test_what_belongs_to_korean_text() -> None:
    assert all(script.is_hangul_text(c) for c in "가힣ㄱㅎ09 \n.,!?·「」₩%~…㈜℃" if c != "℃")
    assert not any(script.is_hangul_text(c) for c in "aZÅéА日漢々カひ一Ａ㎏ⓐ²½\ufffd\u200d\x00\t" if c not in "²½")
    assert not script.is_hangul_text("℃")  # it stands for °C
    for character in script.hangul_characters():
        assert not is_foreign(character), (character, unicodedata.name(character, ""))


def test_names_and_masks_of_a_dialogue_are_excepted() -> None:
    found = script.exceptions(DIALOGUE, ("KTX",), True)
    assert {"#Person1#", "#PhoneNumber#", "Tom", "NASA", "KTX"} <= set(found)
    assert not {"Person1", "PhoneNumber", "Person"} & set(found)
    assert "Tom" not in script.exceptions(DIALOGUE, (), False)
    assert script.exceptions("a@b.kr로 3시에, B2B!", (), True)[-2:] == ("a@b.kr", "B2B")


def test_forbidden_characters_of_a_reference_are_named() -> None:
    decoding = Greedy(GreedyParams(script="hangul"))
    sample = Sample("s", DIALOGUE)
    assert decoding.forbids("#Person1#은 Tom과 NASA에 갑니다.", sample, None) == ""
    assert decoding.forbids("#Person1#은 USA에 갑니다. 日", sample, None) == "USA日"
    assert decoding.forbids("Tomas", sample, None) == "as"
    assert Greedy(GreedyParams()).forbids("USA", sample, None) == ""


def test_how_many_references_of_dialogsum_cannot_be_written(shared_data: Path) -> None:
    """The figures of docs/explanation/protocol.md."""
    import csv

    with (shared_data / "dialogsum-ko" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        samples = [(Sample(r["fname"], r["dialogue"]), r["summary"]) for r in csv.DictReader(file)]
    for copy_names, expected in ((True, 8), (False, 138)):
        decoding = Greedy(GreedyParams(script="hangul", copy_names=copy_names))
        assert sum(bool(decoding.forbids(text, sample, None)) for sample, text in samples) == expected


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"script": "hangeul"}, "script must be"),
        ({"literals": ("a",)}, "which is off"),
        ({"script": "hangul", "literals": ("",)}, "empty string"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        GreedyParams(**params)


# -- the automaton ------------------------------------------------------------------------------------------------

PIECES = ["가", "나", "#", "1", " ", "T", "To", "Tom", "o", "m", "é", "日", "ab", "b", "#Person1#", "Person", "가나T"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=7).map("".join),
    st.sets(st.sampled_from(["Tom", "To", "T가", "ab", "aba", "日b", "#Person1#", "éé"]), max_size=4),
)
def test_it_accepts_what_a_regular_expression_matches(text: str, literals: set[str]) -> None:
    characters = "가나#1 "
    machine = Automaton(CharacterSet(characters, BYTES), sorted(literals), BYTES)
    choices = [re.escape(t) for t in (*characters, *literals)]
    matches = re.fullmatch(f"(?:{'|'.join(choices)})*", text) is not None
    state = machine.step(0, text.encode())
    assert (state >= 0 and bool(machine.accepts[state])) == matches


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([*PIECES, "가나", "Tom나", "om", "\xea".encode("latin1"), "가".encode()[1:], b"\xea\xb0"]),
             unique=True, min_size=1),
    st.sets(st.sampled_from(["Tom", "T가", "ab", "#Person1#"]), max_size=3),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_walk_through_allowed_tokens_ends_well_and_in_time(
    pieces: list[Any], literals: set[str], most: int, rng: Any
) -> None:
    words = TokenBytes([p if isinstance(p, bytes) else p.encode() for p in pieces])
    machine = Automaton(CharacterSet("가나#1 ", words), literals, words)
    state, text = 0, b""
    for left in range(most, 0, -1):
        allowed = machine.allowed(state, left).tolist()
        expected = [
            i for i, t in enumerate(words.tokens) if t and (s := machine.step(state, t)) >= 0
            and machine.to_end[s] <= left - 1
        ]  # fmt: skip
        assert sorted(allowed) == expected
        assert allowed or machine.accepts[state], "a dead end"
        if not allowed:
            break
        token = words.tokens[rng.choice(allowed)] or b""
        state, text = machine.step(state, token), text + token
    choices = [re.escape(t) for t in ("가", "나", "#", "1", " ", *literals)]
    assert machine.accepts[state] and re.fullmatch(f"(?:{'|'.join(choices)})*", text.decode())


def test_a_literal_that_cannot_be_spelt_is_left_out() -> None:
    words = TokenBytes([b"T", b"o", "가".encode()])
    machine = Automaton(CharacterSet("가", words), ("Tom", "To"), words)
    assert machine.accepts[machine.step(0, b"To")] and machine.step(0, b"Tom") < 0
    assert sorted(machine.allowed(0, 2).tolist()) == [0, 2]
    assert machine.allowed(0, 1).tolist() == [2]


# -- real tokenizers ----------------------------------------------------------------------------------------------


@pytest.fixture(params=REAL)
def words(request: pytest.FixtureRequest, tokenizer: Callable[[str], Any], bart_tokenizer: Any) -> Any:
    return bart_tokenizer if request.param == "trained" else tokenizer(request.param)


def test_tokens_make_the_bytes_of_the_texts_they_come_from(words: Any) -> None:
    tokens = vocabulary(words).tokens
    for text in ("#Person1#은 내일 3시에 #Person2#를 만난다.", "감기약을 (하루 세 번) 먹으라고 한다!", "Tom과 USB"):
        ids = words(text, add_special_tokens=False)["input_ids"]
        if None not in [tokens[i] for i in ids]:
            made = b"".join(tokens[i] or b"" for i in ids).decode()
            assert made.strip() == words.decode(ids, clean_up_tokenization_spaces=False).strip()
    assert all(tokens[i] is None for i in words.all_special_ids)


def test_a_tokenizer_that_is_not_understood_is_refused(tokenizer: Callable[[str], Any]) -> None:
    import copy

    from tokenizers import decoders

    other = copy.deepcopy(tokenizer("llama3"))
    other.backend_tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(ModelError, match="WordPiece"):
        vocabulary(other)
    with pytest.raises(ModelError, match="slow"):
        vocabulary(_Slow())


class _Slow:
    """A tokenizer without a fast side."""


def rows(count: int) -> list[Prompt]:
    return [Prompt(f"s{i}", "", tuple(range(300 + i, 306 + i)), dialogue=DIALOGUE if i % 2 else "네.")
            for i in range(count)]  # fmt: skip


def network(folder: Path, words: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny.decoder(folder, "llama", words)).eval()


def written(model: Any, words: Any, decoding: Any, prompts: list[Prompt], **more: Any) -> dict[str, str]:
    from dsum_bench.engines.generation import OutputTokens, Writer
    from dsum_bench.engines.heartbeat import Heartbeat

    end = words.eos_token_id
    writer = Writer(model, OutputTokens((end,), end, frozenset(), words), prompts, left=True)
    out = writer.write(prompts, decoding, {**decoding.config(), **more}, Heartbeat(lambda text: None, len(prompts)))
    cut = [row[: row.index(end)] if end in row else row for row in out]
    return {p.sample_id: words.decode(row, clean_up_tokenization_spaces=False)
            for p, row in zip(prompts, cut, strict=True)}  # fmt: skip


def leaky(words: Any) -> list[int]:
    """The ban of the reference study: tokens whose text holds a Latin letter, kana or an ideograph."""
    banned = re.compile(r"[A-Za-z\u3040-\u30ff\u3400-\u9fff]")
    texts = words.batch_decode([[i] for i in range(len(words))], clean_up_tokenization_spaces=False)
    return [i for i, text in enumerate(texts) if banned.search(text)]


@pytest.mark.slow
def test_wild_samples_hold_no_foreign_character_and_a_token_ban_leaks(words: Any, tmp_path: Path) -> None:
    count = 500 if len(words) < 100_000 else 100  # each step takes as long as the vocabulary is large
    model, prompts = network(tmp_path, words), rows(count)
    params = {"temperature": 2.0, "top_p": 1.0, "max_new_tokens": 12}
    kept, let, ban = {}, {}, leaky(words)
    for at in range(0, count, 50):
        some = prompts[at : at + 50]
        kept |= written(model, words, Sampling(SamplingParams(**params, script="hangul")), some)  # type: ignore[arg-type]
        if at < 100:
            free = Sampling(SamplingParams(**params))  # type: ignore[arg-type]
            let |= written(model, words, free, some, suppress_tokens=ban)
    excepted = {p.sample_id: script.exceptions(p.dialogue, (), True) for p in prompts}
    bad = {i: text for i, text in kept.items() if foreign(text, excepted[i])}
    assert not bad
    assert sum(len(text) for text in kept.values()) > count * 5
    leaks = sum(bool(foreign(text)) for text in let.values())
    print(f"{words.name_or_path}: the ban leaks in {leaks} of {len(let)}")
    assert leaks > 50 or len(words) < 50_000


def test_beams_are_transformers_own_under_its_own_prefix_constraint(words: Any, tmp_path: Path) -> None:
    import torch

    model, prompts, new = network(tmp_path, words), rows(3), 8
    params = BeamParams(max_new_tokens=new, beams=3, script="hangul")
    ours = written(model, words, Beam(params), prompts)
    known = vocabulary(words)
    characters, end = CharacterSet(script.hangul_characters(), known), words.eos_token_id
    for prompt in prompts:
        machine = Automaton(characters, script.exceptions(prompt.dialogue, (), True), known)

        def allowed(_: int, ids: Any, machine: Automaton = machine, start: int = len(prompt.token_ids)) -> list[int]:
            output = ids[start:].tolist()
            state = machine.step(0, b"".join(known.tokens[i] or b"\xff" for i in output if i != end))
            if state < 0:
                return [end]
            found: list[int] = machine.allowed(state, new - len(output)).tolist()
            return [*found, end] if machine.accepts[state] else found

        ids = torch.tensor([prompt.token_ids])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=3, early_stopping=True,
                             max_new_tokens=new, eos_token_id=end, pad_token_id=end,
                             prefix_allowed_tokens_fn=allowed)[0, ids.shape[1] :].tolist()  # fmt: skip
        out = out[: out.index(end)] if end in out else out
        assert ours[prompt.sample_id] == words.decode(out, clean_up_tokenization_spaces=False)


def test_it_does_not_depend_on_the_batch_and_leaves_alone_what_is_allowed(words: Any, tmp_path: Path) -> None:
    model, prompts = network(tmp_path, words), rows(6)
    model.lm_head.weight.data[words.eos_token_id] *= 2.5
    wild = Sampling(SamplingParams(max_new_tokens=9, temperature=2.0, no_repeat_ngram=1, script="hangul"))
    together = written(model, words, wild, prompts)
    assert together == {k: v for p in prompts for k, v in written(model, words, wild, [p]).items()}
    free = written(model, words, Greedy(GreedyParams(max_new_tokens=9)), prompts)
    silent = [words.convert_ids_to_tokens(i) for i, t in enumerate(vocabulary(words).tokens) if t is None]
    whole = {k: v for k, v in free.items() if v == v.strip() and not any(t in v for t in (*silent, "\ufffd"))}
    own = GreedyParams(max_new_tokens=9, script="hangul", literals=tuple(whole.values()))
    assert {k: v for k, v in written(model, words, Greedy(own), prompts).items() if k in whole} == whole


def test_a_forced_first_token_passes_and_moves_nothing(words: Any) -> None:
    import torch

    from dsum_bench.decoding.constraint import ScriptConstraint, automaton

    batch = Batch(("a",), 2, frozenset(), (DIALOGUE,), (words.eos_token_id,), words)
    constraint = ScriptConstraint([automaton(batch, 0, (), True)], batch.end_ids, 2, 5, [])
    special = next(i for i in words.all_special_ids if i != words.eos_token_id)
    forced = torch.full((1, len(words)), -float("inf"))
    forced[0, special] = 0.0
    assert torch.equal(constraint(torch.tensor([[1, 2]]), forced), forced)
    free = constraint(torch.tensor([[1, 2, special]]), torch.zeros(1, len(words)))
    again = ScriptConstraint([automaton(batch, 0, (), True)], batch.end_ids, 2, 4, [])
    assert torch.equal(free, again(torch.tensor([[1, 2]]), torch.zeros(1, len(words))))


def test_a_step_calls_as_little_as_its_rows_need(tokenizer: Callable[[str], Any]) -> None:
    """Calls of functions, since seconds depend on the machine: about one a row, none for each of 128,000 tokens."""
    import torch

    from dsum_bench.decoding.constraint import ScriptConstraint, automaton

    words = tokenizer("llama3")
    batch = Batch(tuple(map(str, range(16))), 2, frozenset(), (DIALOGUE, "네.") * 8, (words.eos_token_id,), words)
    machines = [automaton(batch, row, (), True) for row in range(16)]
    constraint = ScriptConstraint(machines, batch.end_ids, 2, 64, [])
    ids, counts = torch.ones(16, 2, dtype=torch.long), []
    for _ in range(20):
        calls, scores = Counter[str](), torch.randn(16, len(words))
        sys.setprofile(lambda _, event, __, calls=calls: calls.update([event]))
        out = constraint(ids, scores)
        sys.setprofile(None)
        counts.append(calls["call"] + calls["c_call"])
        ids = torch.cat([ids, out.argmax(1, keepdim=True)], dim=1)
    assert median(counts) < 200 * len(machines)
