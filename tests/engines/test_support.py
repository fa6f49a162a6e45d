"""What preflight says of checkpoints that cannot be loaded here, before anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import Dsum, patience
from making import small

from dsum_bench.engines import support
from dsum_bench.engines.checkpoint import has_template, working_bytes
from dsum_bench.engines.support import check, check_code
from dsum_bench.errors import ModelSkipped
from dsum_bench.spec import ModelSpec, Placement

WITHOUT_BITSANDBYTES = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "bitsandbytes" else real(name, package)
from dsum_bench.cli import main
main(sys.argv[1:])
"""


def plan(folder: Path, *arguments: str, program: str = "") -> dict[str, tuple[str, str]]:
    """What a plan says of each model. program: code that calls the command, instead of the command itself."""
    given = ["screen", "--no-controls", *arguments, "--dry-run", "--json"]
    if program:
        command = [sys.executable, "-c", program, *given]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patience(), check=True)
    else:
        done = Dsum(folder)(*given)
        assert done.returncode == 0, done.stderr
    return {m["model"]: (m["status"], m["reason"]) for m in json.loads(done.stdout)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    for name, chat in (("plain", None), ("asked", template)):
        tiny.decoder(tmp_path / name, "llama", small(chat))
    config = tmp_path / "asked" / "config.json"
    (tmp_path / "new").mkdir()
    for file in (tmp_path / "asked").iterdir():
        (tmp_path / "new" / file.name).write_bytes(file.read_bytes())
    changed = json.loads(config.read_text(encoding="utf-8")) | {"model_type": "of_tomorrow"}
    (tmp_path / "new" / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    (tmp_path / "registry.toml").write_text(
        "\n".join(f'[models.{name}]\nsource = "./{name}"\nadapter = "chat"' for name in ("plain", "asked", "new")),
        encoding="utf-8",
    )
    return tmp_path


def test_template_and_architecture_are_asked_for_before_the_sweep(checkpoints: Path) -> None:
    found = plan(checkpoints, "plain", "asked", "new")
    assert found["asked"][0] == "ready"
    assert found["plain"] == (
        "failed",
        "its tokenizer has no chat template; use adapter completion or --prompt-format raw",
    )
    assert found["new"][0] == "failed" and "does not know model type 'of_tomorrow'" in found["new"][1]
    assert plan(checkpoints, "plain", "--prompt-format", "raw")["plain"][0] == "ready"


def test_a_package_that_is_missing_is_named(checkpoints: Path) -> None:
    found = plan(checkpoints, "asked", "--quantization", "nf4", program=WITHOUT_BITSANDBYTES)
    assert found["asked"][0] == "skipped" and "needs the package bitsandbytes" in found["asked"][1]
    assert plan(checkpoints, "asked", program=WITHOUT_BITSANDBYTES)["asked"][0] == "ready"


def test_templates_are_found_where_families_keep_them(tmp_path: Path, tokenizer: Callable[[str], Any]) -> None:
    assert not has_template(tmp_path)
    tokenizer("qwen3").save_pretrained(tmp_path / "saved")
    assert has_template(tmp_path / "saved")


def test_working_memory_by_hand() -> None:
    # Llama-3.2-3B: 28 layers, 8 key-value heads of 128, keys and values in 16 bits: 114,688 bytes a token.
    config = {"num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128}
    assert working_bytes(config, 1) == 114_688 * 2048
    assert working_bytes(config | {"vocab_size": 128_256}, 4) == 4 * (114_688 * 2048 + 16 * 128_256)


def test_packages_that_a_checkpoint_asks_for_are_named_before_it_is_loaded(tmp_path: Path) -> None:
    """flash-attn is installed nowhere by default: loading fails after the download."""
    model, here = ModelSpec("m", "chat", ("m",), allow=("remote-code",)), Placement("cpu", "float32", "none", "")
    config = {"model_type": "llama", "attn_implementation": "flash_attention_2"}
    with pytest.raises(ModelSkipped, match="the package flash-attn is not installed"):
        check(model, config, here)
    check(model, config | {"attn_implementation": "sdpa"}, here)
    code = (
        "import torch\ntry:\n    import nothing_optional\nexcept ImportError:\n    pass\nfrom nothing_needed import x\n"
    )
    (tmp_path / "modeling.py").write_text(code, encoding="utf-8")
    with pytest.raises(ModelSkipped, match=r"needs packages that are not installed: nothing_needed$"):
        check_code(tmp_path)


def test_int8_on_a_cpu_needs_instructions_and_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    placement = Placement("cpu", "float32", "int8", "")
    monkeypatch.setattr(support, "find_spec", lambda name: None)
    monkeypatch.setattr(support, "multiplies_bytes", lambda: True)
    check(ModelSpec("m", "chat"), {}, placement)
    monkeypatch.setattr(support, "multiplies_bytes", lambda: False)
    with pytest.raises(ModelSkipped, match="needs a processor with VNNI"):
        check(ModelSpec("m", "chat"), {}, placement)
