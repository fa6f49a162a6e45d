"""What a node is held to, and a job planned for it: no cluster is needed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dsum_bench_ray import cluster, item, probe
from dsum_bench_ray.executor import RayExecutor
from test_sharing import job

from dsum_bench import Bench, __version__
from dsum_bench.errors import ModelSkipped, UserError
from dsum_bench.machine import Gpu, Machine
from dsum_bench.plugins import Plugins
from dsum_bench.spec import PluginSettings, Sample

HERE = {"dsum-bench": "0.2.0", "plugins": {"dsum-bench-exaone": "0.1.0", "dsum-bench-ray": "0.1.0"}}


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (HERE, ""),
        (
            HERE | {"dsum-bench": "0.1.0"},
            "dsum-bench 0.1.0 is installed there and 0.2.0 here: install the same on both",
        ),
        (
            HERE | {"plugins": {"dsum-bench-exaone": "0.3.0"}},
            "dsum-bench-exaone 0.3.0 is installed there and 0.1.0 here; dsum-bench-ray 0.1.0 is installed here and not "
            "there: install the same on both",
        ),
        (HERE | {"plugins": {**HERE["plugins"], "dsum-bench-other": "1"}}, ""),  # type: ignore[dict-item]
        (
            {"problem": "dsum-bench cannot be imported there (no module)"},
            "dsum-bench cannot be imported there (no module)",
        ),
    ],
)
def test_another_version_on_a_node_is_told_with_both(there: dict[str, Any], told: str) -> None:
    assert cluster.mismatch(there, HERE) == told


def test_this_machine_answers_for_itself() -> None:
    found = probe.probe()
    assert found["dsum-bench"] == __version__ and found["plugins"]["dsum-bench-ray"] == "0.1.0"
    assert cluster.mismatch(found, found) == ""


def node(name: str, free: int, *gpus: int, problem: str = "") -> cluster.Node:
    cards = tuple(Gpu(str(i), "card", 8.0, size, size) for i, size in enumerate(gpus))
    return cluster.Node(name, name, 4, len(gpus), problem, Machine(4, free, free, cards))


def test_models_are_planned_for_the_best_of_each() -> None:
    nodes = {n.key: n for n in (node("a", 10, 24), node("b", 99), node("c", 50, 80, 16), node("d", 999, problem="old"))}
    found = cluster.machine(nodes)
    assert (found.free_bytes, [gpu.free_bytes for gpu in found.gpus]) == (99, [80, 16])
    with pytest.raises(UserError, match=r"no node of the Ray cluster can be used: d: old"):
        cluster.machine({"d": nodes["d"]})


def test_an_address_without_a_cluster_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster can be used at 127\.0\.0\.1:1: .+"):
        cluster.connect("127.0.0.1:1")


def test_doctor_says_so_too_and_other_executors_take_no_address(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path, progress=None)
    (found,) = bench.doctor(executor="ray", address="127.0.0.1:1")
    assert (found.about, found.verdict) == ("executor ray", "broken")
    with pytest.raises(UserError, match=r"executor 'local' takes no address \(--address\)"):
        bench.doctor(executor="local", address="127.0.0.1:1")
    assert RayExecutor.takes_address


# -- planned for a node ---------------------------------------------------------------------------------------


def planned(**changes: Any) -> Any:
    one = job("m", 4)
    run = replace(one.run, placement=replace(one.run.placement, device="none", dtype="none"), **changes)
    return replace(one, run=run)


def test_a_job_is_planned_anew_for_the_node() -> None:
    assert item.fitted(planned(), {}).run.placement.reason == "no model"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": "abc"}, "weights  here, abc where the run was planned"),
        (
            {"placement": replace(job("m", 1).run.placement, device="cuda:0", dtype="none")},
            "device none here, cuda where",
        ),
    ],
)
def test_a_node_that_would_write_something_else_is_told_apart(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelSkipped, match=told):
        item.fitted(planned() if not changes else replace(planned(), run=replace(planned().run, **changes)), {})


def test_a_folder_that_is_not_there_is_told_with_what_to_copy(tmp_path: Path) -> None:
    one = planned()
    folder = str(tmp_path / "weights")
    one = replace(one, run=replace(one.run, model=replace(one.run.model, source=(folder,))))
    with pytest.raises(ModelSkipped, match=f"{folder} of model m is not on this node: copy it there"):
        item.fitted(one, {})
    Path(folder).mkdir()
    item.fitted(one, {})


def test_plugin_files_travel_with_what_they_hold(tmp_path: Path) -> None:
    content = b"import dsum_bench\n"
    settings = item.with_files(PluginSettings(files=("/nowhere/mine.py",)), {"/nowhere/mine.py": content})
    (found,) = settings.files
    assert Path(found).read_bytes() == content and Path(found).name == "mine.py"
    assert item.with_files(PluginSettings(files=("/nowhere/mine.py",)), {"/nowhere/mine.py": content}) == settings
    assert Plugins(settings).problems == []


def test_further_samples_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    samples = tuple(Sample(f"s{i}", "#Person1#: 네.") for i in range(1000))
    found: list[tuple[Sample, ...]] = []
    reader = threading.Thread(target=lambda: found.append(item.received(tmp_path / "1")))
    reader.start()
    item.put(samples, tmp_path / "1")
    reader.join(60)
    assert found == [samples] and not list(tmp_path.iterdir())
