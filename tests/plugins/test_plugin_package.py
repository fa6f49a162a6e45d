"""The plugin packages as a user gets them: built, installed in an environment of their own, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from commands import patience
from making import small

ROOT = Path(__file__).parents[2]
TEMPLATE = (
    "{% for m in messages %}[|{{ m.role }}|]\n{{ m.content }}[|endofturn|]\n{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]\n{% endif %}"
)

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.xdist_group("packages")]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees what this one sees, and the plugins besides."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    inside = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    outside = sysconfig.get_path("purelib")
    Path(inside, "outside.pth").write_text(f"import site; site.addsitedir({outside!r})\n", encoding="utf-8")
    made = folder / "bin" / "python"
    # Building takes hatchling from PyPI: once, not into an environment of its own for each package.
    packages = map(str, sorted((ROOT / "plugins").iterdir()))
    for what in (["hatchling>=1.27"], ["--no-deps", "--no-build-isolation", *packages]):
        pip = [str(made), "-m", "pip", "install", "--quiet", *what]
        done = subprocess.run(pip, check=False, capture_output=True, text=True)
        if done.returncode and os.environ.get("CI") != "true":
            pytest.skip(f"the plugins could not be built: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def with_ray(python: Path) -> Path:
    """That interpreter with Ray, which is no dependency of the core."""
    command = [str(python), "-m", "pip", "install", "--quiet", "ray>=2.40"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"Ray could not be installed: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def with_trackers(python: Path) -> Path:
    """That interpreter with the trackers that the tests here do without."""
    command = [str(python), "-m", "pip", "install", "--quiet", "trackio>=0.20", "mlflow-skinny>=2.10"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"the trackers could not be installed: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [str(python), "-m", "dsum_bench", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=patience()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checkpoint(folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, Exaone4Config

    tokenizer = small(TEMPLATE, None, more=("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"))
    tokenizer.eos_token = "[|endofturn|]"
    config = Exaone4Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        layer_types=["full_attention"] * 2,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def named(rows: Any, name: str) -> Any:
    (row,) = [row for row in rows if name in row.values()]
    return row


def test_the_installed_plugin_is_listed_and_runs(python: Path, tmp_path: Path) -> None:
    plugin = named(json.loads(run(python, tmp_path, "plugins", "--json")), "dsum-bench-exaone")
    assert plugin["version"] == "0.1.0"
    models = json.loads(run(python, tmp_path, "models", "--json"))
    assert named(models, "exaone4-1.2b")["origin"] == "dsum-bench-exaone"

    checkpoint(tmp_path / "tiny")
    (tmp_path / "registry.toml").write_text(
        '[models.exaone-tiny]\nsource = "tiny"\nadapter = "exaone"\ndtype = "float32"\nquantization = "none"\n',
        encoding="utf-8",
    )
    run(
        python,
        tmp_path,
        "screen",
        "--no-controls",
        "exaone-tiny",
        "--dataset",
        "samples-ko",
        "--limit",
        "3",
        "--set",
        "max_new_tokens=8",
    )
    (board,) = json.loads(run(python, tmp_path, "leaderboard", "--json"))
    (row,) = board["ranked"]
    assert (row["model"], row["status"], row["n"], row["prompt"]) == ("exaone-tiny", "done", 3, "ko-default")


@pytest.mark.parametrize(
    ("package", "passed"),
    [
        ("dsum-bench-exaone", 12),
        ("dsum-bench-bertscore", 7),
        ("dsum-bench-openai", 96),
        ("dsum-bench-judge", 31),
    ],
)
def test_its_own_tests_pass_where_it_is_installed(python: Path, tmp_path: Path, package: str, passed: int) -> None:
    assert f"{passed} passed" in own_tests(python, tmp_path, package, "not slow")


def test_what_trackers_are_told_is_read_back_where_they_are_installed(with_trackers: Path, tmp_path: Path) -> None:
    assert "11 passed" in own_tests(with_trackers, tmp_path, "dsum-bench-tracking", "not slow")


def test_the_ray_executors_own_tests_pass_on_a_cluster_of_three_nodes(with_ray: Path, tmp_path: Path) -> None:
    """Of the cluster's tests two; all of them take minutes (``pytest plugins/dsum-bench-ray``)."""
    only = "not test_cluster or equals_the_local_executors or node_that_dies"
    assert "25 passed" in own_tests(with_ray, tmp_path, "dsum-bench-ray", "slow or not slow", "-k", only)


def own_tests(python: Path, folder: Path, package: str, which: str, *more: str) -> str:
    """Run a package's own tests where it is installed; returns what pytest prints."""
    tests = ROOT / "plugins" / package / "tests"
    command = [str(python), "-m", "pytest", "-q", "-m", which, "-p", "no:cacheprovider", *more, str(tests)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=patience()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
