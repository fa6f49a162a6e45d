"""What every decoding strategy, engine and trainer must keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, ClassVar, get_args

from dsum_bench.decoding.base import Batch, Decoding
from dsum_bench.engines.base import Engine, Loaded, Plan
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Finish, Generation, ModelSpec, PluginSettings
from dsum_bench.testing.making import SAMPLES, make_adapter, tiny_network
from dsum_bench.training.base import Trainer
from dsum_bench.training.params import TrainingParams


class DecodingRules:
    """Set ``decoding``; ``params`` where its defaults are not what you want to test."""

    decoding: ClassVar[type[Decoding]]
    params: ClassVar[Mapping[str, object]] = {}

    def make(self) -> Decoding:
        return self.decoding(self.decoding.Params(**self.params), seed=1)

    def test_its_parameters_are_a_frozen_dataclass_with_a_length(self) -> None:
        assert is_dataclass(self.decoding.Params)
        cls: Any = self.decoding.Params
        assert cls.__dataclass_params__.frozen
        assert "max_new_tokens" in cls.__dataclass_fields__

    def test_transformers_knows_every_field_of_its_config(self) -> None:
        from transformers import GenerationConfig

        made = self.make()
        config = made.config()
        unknown = set(config) - set(GenerationConfig().to_dict())
        assert not unknown, f"GenerationConfig has no field {unknown}"
        GenerationConfig(**config).validate(strict=True)
        assert config["max_new_tokens"] == made.params.max_new_tokens
        assert config.get("num_beams", 1) == made.beams, "memory is planned for another number of beams"

    def test_a_row_is_decoded_alike_whatever_others_are_in_its_batch(self) -> None:
        """The processors give a row the same scores alone as beside another one."""
        import torch

        ids = torch.tensor([[5, 6, 5, 6, 7], [1, 2, 1, 2, 3]])
        scores = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
        both = self._process(("a", "b"), ids, scores)
        for row, name in enumerate("ab"):
            alone = self._process((name,), ids[row : row + 1], scores[row : row + 1])
            assert torch.allclose(both[row], alone[0]), "the scores of a row depend on the others"

    def _process(self, names: tuple[str, ...], ids: Any, scores: Any) -> Any:
        made, scores = self.make(), scores.clone()
        for processor in made.processors(Batch(names, 2, frozenset())):
            scores = processor(ids.repeat_interleave(made.beams, 0), scores.repeat_interleave(made.beams, 0))
            scores = scores[:: made.beams]
        return scores


class EngineRules:
    """Set ``engine`` and the ``model`` it is to run; ``decoding`` unless it needs none."""

    engine: ClassVar[type[Engine]]
    model: ClassVar[ModelSpec]
    decoding: ClassVar[Decoding | None] = None

    def ready(self) -> tuple[Engine, Loaded]:
        plan = self.engine.plan(self.model, detect(), 1)
        assert isinstance(plan, Plan)
        made = self.engine(self.model, plan.placement)
        loaded = made.prepare(lambda text: None)
        made.load(lambda text: None)
        return made, loaded

    def generations(self) -> list[Generation]:
        made, loaded = self.ready()
        adapter = make_adapter(
            Plugins(PluginSettings(())).adapters[self.model.adapter], loaded.tokenizer, options=self.model.options
        )
        prompts = [adapter.prompt(sample) for sample in SAMPLES]
        return [g for batch in made.generate(prompts, adapter, self.decoding, lambda text: None) for g in batch]

    def test_its_plan_is_the_same_twice(self) -> None:
        machine = detect()
        assert self.engine.plan(self.model, machine, 1) == self.engine.plan(self.model, machine, 1)

    def test_every_prompt_is_answered_exactly_once(self) -> None:
        assert sorted(g.sample_id for g in self.generations()) == sorted(s.id for s in SAMPLES)

    def test_what_it_gives_can_be_stored(self) -> None:
        for made in self.generations():
            assert isinstance(made.text, str) and made.finish in get_args(Finish)
            assert made.seconds >= 0 and made.new_tokens >= 0 and made.prompt_tokens >= 0

    def test_the_same_prompts_have_the_same_answers(self) -> None:
        assert {g.sample_id: g.text for g in self.generations()} == {g.sample_id: g.text for g in self.generations()}


class TrainerRules:
    """Set ``trainer``; ``params`` where its defaults are not what you want to test."""

    trainer: ClassVar[type[Trainer]]
    params: ClassVar[Mapping[str, Any]] = {}

    def make(self) -> Trainer:
        return self.trainer(self.trainer.Params(**self.params))

    def test_it_declares_what_it_is(self) -> None:
        assert issubclass(self.trainer.Params, TrainingParams)
        assert self.trainer.keeps in ("adapter", "checkpoint")

    def test_it_trains_something_and_only_what_it_counted_without_weights(self) -> None:
        real, planned = (self.make().prepare(tiny_network(device)) for device in ("cpu", "meta"))
        assert _trained(real), "no weight is trained"
        assert _trained(real) == _trained(planned), "the plan counts other weights than are trained"


def _trained(network: Any) -> dict[str, int]:
    return {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
