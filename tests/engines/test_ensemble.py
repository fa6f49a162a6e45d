"""The weighted mean of token distributions against hand loops over plain transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from commands import Dsum
from loaded_engine import CPU, NEW, LoadedEngine

from dsum_bench.decoding.base import Decoding
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.engines.averaging import State
from dsum_bench.engines.ensemble import Ensemble
from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.machine import detect
from dsum_bench.registry.load import load
from dsum_bench.registry.members import with_parts
from dsum_bench.spec import ModelSpec

WEIGHTS = (0.6, 0.4)
FAMILIES = {
    "llama": ("completion", {}),
    "qwen3": ("completion", {}),
    "bart": ("encoder_decoder", {"wrap": True}),
    "t5": ("encoder_decoder", {"prefix": "요약: "}),
}


class Pair:
    """Two checkpoints of one architecture, each alone and both as an ensemble."""

    def __init__(self, folder: Path, family: str, words: Any) -> None:
        adapter, options = FAMILIES[family]
        first, second = folder / "first", folder / "second"
        if family in ("bart", "t5"):
            getattr(tiny, family)(first, words)
        else:
            tiny.decoder(first, family, words)
        _changed(first, second)
        self.alone = [LoadedEngine(f, adapter, options) for f in (first, second)]
        self.parts = tuple(replace(one.model, name=n) for one, n in zip(self.alone, ("a", "b"), strict=True))
        self.adapter, self.prompts = self.alone[0].adapter, self.alone[0].prompts

    def engine(self, weights: tuple[float, float] = WEIGHTS) -> Ensemble:
        members = dict(zip(("a", "b"), weights, strict=True))
        engine = Ensemble(
            ModelSpec("both", self.parts[0].adapter, engine="ensemble", members=members, parts=self.parts), CPU
        )
        engine.prepare(lambda text: None)
        engine.load(lambda text: None)
        return engine

    def texts(self, decoding: Decoding, weights: tuple[float, float] = WEIGHTS) -> dict[str, str]:
        batches = self.engine(weights).generate(self.prompts, self.adapter, decoding, lambda text: None)
        return {g.sample_id: g.text for batch in batches for g in batch}

    def by_hand(self) -> dict[str, str]:
        """The most probable token of the weighted mean, a prompt at a time, everything read again in every step."""
        found = {}
        for prompt in self.prompts:
            ids, new = torch.tensor([prompt.token_ids]), list[int]()
            ends = self.alone[0].engine._ends(self.adapter)
            with torch.inference_mode():
                while len(new) < NEW:
                    mean = sum(
                        w * _next(one.engine.network, ids, new) for w, one in zip(WEIGHTS, self.alone, strict=True)
                    )
                    new.append(int(mean.argmax()))  # type: ignore[union-attr]
                    if new[-1] in ends:
                        break
            found[prompt.sample_id] = self.adapter.decode([t for t in new if t not in ends])
        return found


def _changed(source: Path, target: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    torch.manual_seed(11)
    moved = {name: value + 0.3 * torch.randn_like(value) for name, value in weights.items()}
    save_file(moved, target / "model.safetensors", {"format": "pt"})


def _next(network: Any, ids: torch.Tensor, new: list[int]) -> torch.Tensor:
    if network.config.is_encoder_decoder:
        start = torch.tensor([[network.config.decoder_start_token_id, *new]])
        return network(input_ids=ids, decoder_input_ids=start).logits[0, -1].softmax(-1)  # type: ignore[no-any-return]
    return network(torch.cat([ids, torch.tensor([new], dtype=torch.long)], dim=1)).logits[0, -1].softmax(-1)  # type: ignore[no-any-return]


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path: Path, bart_tokenizer: Any) -> Pair:
    return Pair(tmp_path, request.param, bart_tokenizer)


@pytest.fixture
def small(tmp_path: Path, bart_tokenizer: Any) -> Pair:
    return Pair(tmp_path, "bart", bart_tokenizer)


def test_greedy_is_a_hand_loop_over_both_networks(pair: Pair) -> None:
    decoding = Greedy(GreedyParams(max_new_tokens=NEW))
    texts = pair.texts(decoding)
    assert texts == pair.by_hand()
    firsts = [{k: v[0] for k, v in one.texts(decoding).items()} for one in pair.alone]
    assert texts not in firsts and firsts[0] != firsts[1], "the members agree: this shows nothing"


def test_a_weight_of_one_is_that_member_alone(pair: Pair) -> None:
    for decoding in (
        Greedy(GreedyParams(max_new_tokens=NEW, no_repeat_ngram=2)),
        Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.3), seed=3),
    ):
        firsts = [{k: v[0] for k, v in one.texts(decoding).items()} for one in pair.alone]
        assert pair.texts(decoding, (1.0, 0.0)) == firsts[0]
        assert pair.texts(decoding, (0.0, 2.0)) == firsts[1]
        assert pair.texts(decoding, (1.0, 1e-300)) == firsts[0]


def test_only_the_proportions_of_weights_matter(small: Pair) -> None:
    decoding = Greedy(GreedyParams(max_new_tokens=NEW))
    assert small.texts(decoding, (6.0, 4.0)) == small.texts(decoding)


def test_beams_are_those_of_transformers_over_the_mean(pair: Pair) -> None:
    from transformers import LogitsProcessor

    class Naive(LogitsProcessor):  # type: ignore[misc]
        def __init__(self, other: Any, ids: torch.Tensor) -> None:
            self.other, self.ids = other, ids

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            if self.other.config.is_encoder_decoder:
                read = self.ids.expand(len(input_ids), -1)
                logits = self.other(input_ids=read, decoder_input_ids=input_ids).logits
            else:
                logits = self.other(input_ids).logits
            return (WEIGHTS[0] * scores.softmax(-1) + WEIGHTS[1] * logits[:, -1].softmax(-1)).log()

    first, second = (one.engine.network for one in pair.alone)
    ends = list(pair.alone[0].engine._ends(pair.adapter))
    oracle = {}
    for prompt in pair.prompts:
        ids = torch.tensor([prompt.token_ids])
        out = first.generate(
            ids,
            max_new_tokens=NEW,
            num_beams=3,
            early_stopping=True,
            eos_token_id=ends,
            pad_token_id=ends[0],
            logits_processor=[Naive(second, ids)],
        )[0]
        new = out[1 if first.config.is_encoder_decoder else ids.shape[1] :].tolist()
        stop = next((i for i, token in enumerate(new) if token in ends), len(new))
        oracle[prompt.sample_id] = pair.adapter.decode(new[:stop])
    assert pair.texts(Beam(BeamParams(max_new_tokens=NEW, beams=3))) == oracle


def test_a_sampled_output_does_not_depend_on_the_batch(pair: Pair) -> None:
    decoding = Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.2), seed=5)
    together, engine = pair.texts(decoding), pair.engine()
    for prompt in pair.prompts[:3]:
        (batch,) = engine.generate([prompt], pair.adapter, decoding, lambda text: None)
        assert batch[0].text == together[prompt.sample_id]


def test_a_prompt_that_is_answered_several_times_is_read_once_and_answered_as_if_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.2), seed=5)
    engine, adapter = pair.engine(), pair.adapter
    copies = [replace(p, sample_id=f"{p.sample_id}/{i}") for p in pair.prompts[:3] for i in range(3)]
    batches = engine.generate(copies, adapter, decoding, lambda text: None)
    together = {g.sample_id: g.text for batch in batches for g in batch}
    alone = {g.sample_id: g.text for p in copies for b in engine.generate([p], adapter, decoding, print) for g in b}
    assert together == alone and len(set(together.values())) > 3
    read: list[int] = []
    tensors = State._tensors

    def counted(self: State, prompts: Any) -> Any:
        read.append(len(prompts))
        return tensors(self, prompts)

    monkeypatch.setattr(State, "_tensors", counted)
    list(engine.generate(copies, adapter, Greedy(GreedyParams(max_new_tokens=1)), lambda text: None))
    assert sum(read) == 3


def test_min_new_tokens_holds_whatever_a_member_says(small: Pair) -> None:
    end = small.alone[0].engine._ends(small.adapter)[0]
    decoding = Greedy(GreedyParams(max_new_tokens=NEW, min_new_tokens=5))
    engine = small.engine()
    engine.members[1][2].network.final_logits_bias[:, end] = 1e4  # it would end at once
    made = [g for b in engine.generate(small.prompts, small.adapter, decoding, lambda text: None) for g in b]
    assert {g.new_tokens for g in made} == {5}


# -- what cannot be averaged ----------------------------------------------------------------------------------------


def entry(tmp_path: Path, **folders: Path) -> ModelSpec:
    parts = tuple(ModelSpec(n, "encoder_decoder", (str(f),), options={"wrap": True}) for n, f in folders.items())
    weights = {part.name: 1.0 for part in parts}
    return ModelSpec("both", "encoder_decoder", engine="ensemble", members=weights, parts=parts)


def test_other_vocabularies_are_refused(tmp_path: Path, bart_tokenizer: Any) -> None:
    from copy import deepcopy

    tiny.bart(tmp_path / "a", bart_tokenizer)
    wider = deepcopy(bart_tokenizer)
    wider.add_tokens(["새로운낱말"])
    tiny.bart(tmp_path / "b", wider)
    with pytest.raises(ModelError, match=r"members a and b have different vocabularies .* tokens, .* tokens"):
        Ensemble.plan(entry(tmp_path, a=tmp_path / "a", b=tmp_path / "b"), detect(), 1)
    # As many tokens, and other ones: the tokenizers tell.
    tiny.bart(tmp_path / "c", bart_tokenizer)
    for file in (tmp_path / "c").glob("*.json"):
        file.write_text(file.read_text(encoding="utf-8").replace("<unused19>", "<spare19>"), encoding="utf-8")
    model = entry(tmp_path, a=tmp_path / "a", c=tmp_path / "c")
    Ensemble.plan(model, detect(), 1)
    with pytest.raises(ModelError, match=r"members a and c have different vocabularies .*token 26 of one only"):
        Ensemble(model, CPU).prepare(lambda text: None)


def test_members_that_cannot_run_in_step_are_refused(tmp_path: Path, bart_tokenizer: Any) -> None:
    tiny.bart(tmp_path / "a", bart_tokenizer)
    tiny.decoder(tmp_path / "d", "llama", bart_tokenizer)
    with pytest.raises(ModelError, match="different architectures"):
        Ensemble.plan(entry(tmp_path, a=tmp_path / "a", d=tmp_path / "d"), detect(), 1)
    model = entry(tmp_path, a=tmp_path / "a", b=tmp_path / "a")
    with pytest.raises(ModelError, match="member 'b' is no model of the registry"):
        Ensemble.plan(replace(model, parts=model.parts[:1]), detect(), 1)
    control = replace(model.parts[1], engine="control")
    with pytest.raises(ModelError, match="member 'b' runs by engine 'control'"):
        Ensemble.plan(replace(model, parts=(model.parts[0], control)), detect(), 1)
    with pytest.raises(ModelError, match=r"member b: .* does not exist"):
        lost = replace(model.parts[1], source=(str(tmp_path / "lost"),))
        Ensemble.plan(replace(model, parts=(model.parts[0], lost)), detect(), 1)
    needs = Ensemble.plan(model, detect(), 1).placement.needs_bytes
    with pytest.raises(ModelSkipped, match=r"members need about .* of memory together"):
        Ensemble.plan(model, replace(detect(), free_bytes=int(0.8 * needs)), 1)


def test_weights_are_part_of_the_fingerprint(tmp_path: Path, bart_tokenizer: Any) -> None:
    tiny.bart(tmp_path / "a", bart_tokenizer)
    model = entry(tmp_path, a=tmp_path / "a", b=tmp_path / "a")
    plans = [Ensemble.plan(replace(model, members={"a": 1.0, "b": w}), detect(), 1).weights for w in (1.0, 3.0)]
    assert plans[0] != plans[1]
    assert Ensemble.plan(replace(model, members={"a": 2.0, "b": 6.0}), detect(), 1).weights == plans[1]


# -- in a registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("members = { a = 1, both = 1 }", "names 'both' itself"),
        ("members = { a = -1 }", "needs weights of 0 or more"),
        ("members = { a = 0 }", "needs weights of 0 or more"),
        ('members = { a = 1 }\nsource = "x/y"', "key 'source' cannot be combined with 'members'"),
        ('members = { a = 1 }\nengine = "huggingface"', "needs engine 'ensemble'"),
        ('engine = "ensemble"', "key 'members' is missing"),
        ("members = { a = 1 }\nparts = []", "unknown key 'parts'"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_with_its_place(tmp_path: Path, lines: str, fault: str) -> None:
    from loaded_engine import PLUGINS

    file = tmp_path / "mine.toml"
    file.write_text(f'[models.both]\nadapter = "encoder_decoder"\n{lines}\n', encoding="utf-8")
    with pytest.raises(UserError, match=fault) as error:
        load([file], PLUGINS, tmp_path)
    assert "mine.toml" in str(error.value)


def test_an_ensemble_screens_like_a_model(dsum: Dsum, tmp_path: Path, bart_tokenizer: Any) -> None:
    tiny.bart(tmp_path / "a", bart_tokenizer)
    _changed(tmp_path / "a", tmp_path / "b")
    entries = "".join(
        f'[models.{n}]\nsource = "./{n}"\nadapter = "encoder_decoder"\noptions = {{ wrap = true }}\n' for n in "ab"
    )
    both = '[models.both]\nadapter = "encoder_decoder"\noptions = { wrap = true }\nmembers = { a = 0.6, b = 0.4 }\n'
    lost = both.replace("both", "lost").replace("b = 0.4", "nobody = 0.4")
    (tmp_path / "registry.toml").write_text(entries + both + lost, encoding="utf-8")
    done = dsum(
        *("screen", "both", "lost", "--limit", "4", "--no-controls"),
        *("--set", "max_new_tokens=8", "--metric", "rouge@char"),
    )
    assert done.returncode == 1, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert "member 'nobody' is no model of the registry" in text
    shown = dsum("show", "both")
    assert shown.returncode == 0 and "0.60 a + 0.40 b" in shown.stdout and "0.6*" in shown.stdout
    assert "0.60 a + 0.40 b" in dsum("models", "--family", "both").stdout
    spec = with_parts(load([tmp_path / "registry.toml"])).model("both")
    assert [part.name for part in spec.parts] == ["a", "b"] and spec.params is None
