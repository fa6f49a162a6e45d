"""Which worker gets which GPU. No GPU is needed: the job tells what it was shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsum_bench.executors.base import JobEnded
from dsum_bench.executors.local import Local
from dsum_bench.machine import Gpu, Machine
from dsum_bench.screening.job import BatchDone, ScreeningJob
from dsum_bench.spec import ModelSpec, Placement, PluginSettings, RunSpec, Sample

pytestmark = pytest.mark.fresh

GB = 10**9
PLUGIN = """
import os
import dsum_bench
from dsum_bench.engines.control import ControlEngine
from dsum_bench.spec import Generation

def seen():
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "numbers are those of nvidia-smi"
    return os.environ["CUDA_VISIBLE_DEVICES"]

class Shown(ControlEngine):
    name = "shown"

    def generate(self, prompts, adapter, decoding, tell):
        yield [Generation(p.sample_id, seen(), 0, 0, "stop", 0.0) for p in prompts]

@dsum_bench.hookimpl
def dsum_register_engines(register):
    register(Shown)
"""


@pytest.fixture
def plugins(tmp_path: Path) -> PluginSettings:
    file = tmp_path / "shown.py"
    file.write_text(PLUGIN)
    return PluginSettings((), (str(file),))


def job(name: str, device: str, needs: int, plugins: PluginSettings, folder: Path) -> ScreeningJob:
    run = RunSpec(
        model=ModelSpec(name, "constant", engine="shown", options={"text": "x"}),
        dataset="d",
        language="ko",
        split="dev",
        selection="all",
        n_samples=1,
        dataset_fingerprint="",
        references_fingerprint="",
        prompt=None,
        prompt_format="template",
        decoding=None,
        placement=Placement(device, "float32", "none", "", needs),
        weights="",
        seed=0,
        versions={},
    )
    return ScreeningJob(name, run, (Sample("s", "#Person1#: 네."),), plugins, str(folder / f"{name}.log"))


def test_a_model_gets_a_gpu_it_fits_on_and_the_cpu_gets_none(plugins: PluginSettings, tmp_path: Path) -> None:
    cards = (Gpu("3", "small", 8.0, 8 * GB, 7 * GB), Gpu("GPU-77", "large", 8.0, 24 * GB, 23 * GB))
    executor = Local(60, Machine(2, GB, GB, cards))
    jobs = [
        job("large", "cuda:0", 20 * GB, plugins, tmp_path),
        job("control", "none", 0, plugins, tmp_path),
        job("small", "cuda:0", 5 * GB, plugins, tmp_path),
        job("huge", "cuda:0", 40 * GB, plugins, tmp_path),
    ]
    shown, ended = {}, {}
    for event in executor.run(jobs):
        if isinstance(event, BatchDone):
            shown[event.job] = event.outputs[0].generation.text
        elif isinstance(event, JobEnded):
            ended[event.job] = event
    assert shown["large"] == "GPU-77"
    assert shown["control"] == ""
    assert shown["small"] in ("3", "GPU-77")
    assert ended["huge"].skipped and "no longer" in ended["huge"].reason
    assert [e.reason for name, e in ended.items() if name != "huge"] == ["", "", ""]
