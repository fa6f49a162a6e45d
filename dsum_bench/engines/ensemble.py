"""The engine `ensemble`: several checkpoints write one summary, from the weighted mean of their probabilities.

What the field calls a weighted average of token distributions (soft voting): in every step each member gives the
probabilities of the next token, and the strategy chooses from their weighted mean. Members share a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from dsum_bench.adapters.base import Adapter, Architecture
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded, Plan, Tell
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.engines.placement import SHARE
from dsum_bench.errors import ModelError, ModelSkipped
from dsum_bench.figures import size
from dsum_bench.machine import Machine
from dsum_bench.spec import Generation, ModelSpec, Placement, Prompt


class Ensemble(Engine):
    """Runs the members of an entry in step. The first with a weight writes; its batches are everyone's."""

    name = "ensemble"

    def __init__(self, model: ModelSpec, placement: Placement) -> None:
        super().__init__(model, placement)
        total = sum(model.members.values())
        self.members = [
            (part.name, model.members[part.name] / total, HuggingFace(_as_asked(part, model), placement))
            for part in model.parts
            if model.members[part.name] > 0
        ]

    @property
    def writer(self) -> HuggingFace:
        """The member whose batches and sequences they are."""
        return self.members[0][2]

    @classmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        parts = _parts(model)
        plans = {part.name: _planned(part, model, machine, beams) for part in parts}
        first, placement = parts[0].name, plans[parts[0].name].placement
        for name, plan in plans.items():
            _check_alike(first, plans[first], name, plan)
        needs = sum(plan.placement.needs_bytes for plan in plans.values())
        free = max((g.free_bytes for g in machine.gpus), default=0) if machine.gpus else machine.free_bytes
        if needs > SHARE * free:
            raise ModelSkipped(f"its members need about {size(needs)} of memory together; {size(free)} are free")
        reason = f"{len(parts)} members need about {size(needs)} together; {size(free)} free"
        total = sum(model.members.values())
        weights = "+".join(f"{model.members[name] / total:.6g}*{plan.weights}" for name, plan in plans.items())
        return Plan(
            replace(placement, reason=reason, needs_bytes=needs),
            weights,
            plans[first].config,
            sum(plan.download_bytes for plan in plans.values()),
            template=plans[first].template,
        )

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        return HuggingFace.versions()

    def prepare(self, tell: Tell) -> Loaded:
        found = [engine.prepare(tell) for _, _, engine in self.members]
        first = found[0]
        for (name, _, _), other in zip(self.members, found, strict=True):
            if told := _differ(first.tokenizer.get_vocab(), other.tokenizer.get_vocab()):
                raise ModelError(
                    f"members {self.members[0][0]} and {name} have different vocabularies ({told}): probabilities of "
                    "tokens can only be averaged over the same tokens"
                )
        ends = tuple(sorted({end for loaded in found for end in loaded.end_ids}))
        self.writer.checkpoint_ends = ends
        records = tuple(loaded.record for loaded in found if loaded.record is not None)
        longest = min((loaded.max_tokens for loaded in found if loaded.max_tokens), default=None)
        return replace(first, max_tokens=longest, end_ids=ends, record=records[0], more_records=records[1:])

    def load(self, tell: Tell) -> None:
        for name, _, engine in self.members:
            engine.load(lambda text, name=name: tell(f"{name}: {text}"))  # type: ignore[misc]

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        from dsum_bench.engines.averaging import Member, averaged

        if decoding is not None and len(self.members) > 1:
            others = [Member(engine.network, weight) for _, weight, engine in self.members[1:]]
            decoding = averaged(decoding, self.members[0][1], others, prompts)
        yield from self.writer.generate(prompts, adapter, decoding, tell)

    def padding_side(self, architecture: Architecture) -> Literal["left", "right", ""]:
        return self.writer.padding_side(architecture)

    def peak_memory(self) -> int:
        return self.writer.peak_memory()


def _parts(model: ModelSpec) -> tuple[ModelSpec, ...]:
    """The entries of the members with a weight, all of them there. Raises ModelError otherwise."""
    known = {part.name: part for part in model.parts}
    for name in model.members:
        if name not in known:
            raise ModelError(f"member '{name}' is no model of the registry, nor trained in this folder of results")
        if known[name].engine != HuggingFace.name:
            raise ModelError(
                f"member '{name}' runs by engine '{known[name].engine}'; only checkpoints that engine "
                f"'{HuggingFace.name}' runs can be averaged"
            )
    return tuple(known[name] for name, weight in model.members.items() if weight > 0)


def _as_asked(part: ModelSpec, model: ModelSpec) -> ModelSpec:
    """A member in the dtype and quantisation that the entry asks for, or else in its own."""
    changes: dict[str, Any] = {
        key: getattr(model, key) for key in ("dtype", "quantization") if getattr(model, key) != "auto"
    }
    return replace(part, **changes)


def _planned(part: ModelSpec, model: ModelSpec, machine: Machine, beams: int) -> Plan:
    try:
        return HuggingFace.plan(_as_asked(part, model), machine, beams)
    except ModelSkipped as error:
        raise ModelSkipped(f"member {part.name}: {error}") from None
    except ModelError as error:
        raise ModelError(f"member {part.name}: {error}") from None


def _check_alike(first: str, one: Plan, name: str, other: Plan) -> None:
    """Raise ModelError where two members cannot be run in step."""
    for what, a, b, advice in (
        ("architectures", *(_kind(plan.config) for plan in (one, other)), "take members of one"),
        (
            "vocabularies",
            *(_tokens(plan.config) for plan in (one, other)),
            "probabilities of tokens can only be averaged over the same tokens",
        ),
        ("places", *(_held(plan.placement) for plan in (one, other)), "set dtype and quantization of this entry"),
    ):
        if a and b and a != b:
            raise ModelError(f"members {first} and {name} have different {what} ({a}, {b}): {advice}")


def _kind(config: Mapping[str, Any]) -> str:
    if not config:
        return ""
    return "encoder-decoder" if config.get("is_encoder_decoder") else "decoder"


def _tokens(config: Mapping[str, Any]) -> str:
    count = (config.get("text_config") or config).get("vocab_size")
    return f"{count} tokens" if count else ""


def _held(placement: Placement) -> str:
    return f"{placement.device} {placement.dtype} {placement.quantization}"


def _differ(one: Mapping[str, int], other: Mapping[str, int]) -> str:
    """The first token that two vocabularies do not share, in words; '' for the same vocabulary."""
    if one == other:
        return ""
    odd = sorted(set(one.items()) ^ set(other.items()), key=lambda item: (item[1], item[0]))
    token, number = odd[0]
    return f"{token!r} is token {number} of one only"
