"""What training uses of an engine, and that an engine of a plugin's own can be trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from commands import Dsum
from making import small

from dsum_bench.engines.base import TrainableEngine
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.spec import ModelSpec, Placement

CPU = Placement("cpu", "float32", "none", "")
PLUGIN = """
import dsum_bench
from dsum_bench.engines.huggingface import HuggingFace

class Mine(HuggingFace):
    name = "mine"

@dsum_bench.hookimpl
def dsum_register_engines(register):
    register(Mine)
"""
REGISTRY = """
[models.m]
source = "./m"
adapter = "completion"
engine = "mine"
prompt = "short"
[models.words]
source = "./m"
adapter = "completion"
engine = "control"
[prompts.short]
user = "{dialogue}"
"""


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_a_skeleton_is_the_network_without_its_weights(family: str, tmp_path: Path) -> None:
    if family == "bart":
        tiny.bart(tmp_path / "m", small(None, bos=None))
    else:
        tiny.decoder(tmp_path / "m", family, small(None, bos=None))
    engine = HuggingFace(ModelSpec("m", "completion", (str(tmp_path / "m"),)), CPU)
    assert isinstance(engine, TrainableEngine)
    engine.prepare(lambda text: None)
    skeleton = {name: tuple(p.shape) for name, p in engine.skeleton().named_parameters()}
    assert all(p.device.type == "meta" for p in engine.skeleton().parameters())
    engine.load(lambda text: None)
    assert skeleton == {name: tuple(p.shape) for name, p in engine.network.named_parameters()}


def test_an_engine_of_a_plugin_is_trained_if_it_can_be(dsum: Dsum, tmp_path: Path) -> None:
    tiny.decoder(tmp_path / "m", "llama", small(None, bos=None))
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    plan = ("--dry-run", "--no-probe", "--recipe", "lora", "--dev-limit", "0", "--plugin", "mine.py")
    done = dsum("finetune", "m", "--split", "dev", "--limit", "4", *plan)
    assert done.returncode == 0, done.stderr
    assert "rows" in done.stdout
    refused = dsum("finetune", "words", "--split", "dev", *plan)
    assert refused.returncode == 2
    assert "words has no weights that could be trained" in refused.stderr
