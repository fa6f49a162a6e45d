"""Models from a hub on the loopback address: found, downloaded, pinned, gated, missing, freed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import Dsum
from hub_server import COMMIT, serving

from dsum_bench.engines.hub import check_disk
from dsum_bench.errors import ModelSkipped

REGISTRY = """
[models.good]
source = "someone/good"
adapter = "encoder_decoder"
options = { wrap = true }

[models.misfit]
source = "someone/good"
adapter = "qwen"

[models.behind-a-gate]
source = "someone/gated"
adapter = "encoder_decoder"

[models.gone]
source = "someone/gone"
adapter = "chat"

[models.wrong-revision]
source = "someone/good"
revision = "v9"
adapter = "encoder_decoder"

[models.pickles]
source = "someone/pickles"
adapter = "encoder_decoder"
"""


class HubDsum(Dsum):
    """The command line with a hub that can be switched off. asked: the requests it has got."""

    def __init__(self, folder: Path, address: str, asked: list[str]) -> None:
        super().__init__(folder, HF_ENDPOINT=address, HF_HOME=str(folder / "hf"), HF_HUB_OFFLINE="0")
        self.asked = asked


@pytest.fixture
def dsum(tmp_path: Path, bart_tokenizer: Any) -> Iterator[HubDsum]:
    good = tiny.bart(tmp_path / "models" / "good", bart_tokenizer)
    pickles = shutil.copytree(good, tmp_path / "models" / "pickles")
    (pickles / "model.safetensors").rename(pickles / "pytorch_model.bin")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    models = {"someone/good": good, "someone/gated": good, "someone/pickles": pickles}
    with serving(models, gated={"someone/gated"}) as (address, asked):
        yield HubDsum(tmp_path / "work", address, asked)


SWEEP = ("screen", "--no-controls", "good", "--limit", "2", "--set", "max_new_tokens=4")


def test_a_model_is_downloaded_once_pinned_to_its_commit_and_then_needs_no_hub(dsum: HubDsum) -> None:
    done = dsum(*SWEEP)
    assert done.returncode == 0, done.stdout + done.stderr
    assert dsum.rows("select status, revision, n_samples from runs") == [("done", COMMIT, 2)]
    assert re.search(r"to be downloaded: \d+ MB for 1 model$", done.stderr, re.MULTILINE)
    assert any(line == f"GET /someone/good/resolve/{COMMIT}/model.safetensors" for line in dsum.asked)
    dsum.asked.clear()
    again = dsum(*SWEEP[:4], "3", *SWEEP[5:], HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert dsum.asked == [] and "to be downloaded" not in again.stderr
    assert dsum.rows("select count(*) from runs where status = 'done'") == [(2,)]


def test_free_cache_deletes_the_models_files_once_its_run_is_done(dsum: HubDsum) -> None:
    assert dsum(*SWEEP, "--free-cache").returncode == 0
    assert not list((dsum.folder / "hf").rglob("model.safetensors"))
    assert dsum.rows("select status from runs") == [("done",)]


def test_faults_are_reported_before_anything_is_downloaded(dsum: HubDsum) -> None:
    models = ("behind-a-gate", "gone", "wrong-revision", "pickles", "misfit")
    done = dsum("screen", "--no-controls", *models, "--dry-run", "--json")
    told = {m["model"]: (m["status"], m["reason"]) for m in json.loads(done.stdout)}
    assert told["behind-a-gate"][0] == "skipped"
    assert "someone/gated is gated: accept its terms on the hub and set HF_TOKEN" in told["behind-a-gate"][1]
    assert told["gone"] == ("failed", "someone/gone is not on the hub (or is private and HF_TOKEN may not read it)")
    assert told["wrong-revision"] == ("failed", "someone/good has no revision 'v9' on the hub")
    assert told["pickles"][0] == "failed" and 'add allow = ["pickle"]' in told["pickles"][1]
    assert told["misfit"][0] == "failed" and "does not fit its checkpoint" in told["misfit"][1]
    assert not any("model.safetensors" in line or ".bin" in line for line in dsum.asked)


def test_an_unreachable_hub_is_reported(dsum: HubDsum) -> None:
    done = dsum("screen", "--no-controls", "good", "--dry-run", "--json", HF_ENDPOINT="http://127.0.0.1:9")
    (told,) = json.loads(done.stdout)
    assert told["status"] == "skipped" and told["reason"].startswith("hub unreachable (")


def test_a_download_larger_than_the_disk_is_not_started(tmp_path: Path) -> None:
    cache = tmp_path / "not" / "there" / "yet"
    check_disk(1, cache)
    with pytest.raises(
        ModelSkipped, match=r"its download takes 1000000000\.0 GB, but only .* are free in .*not/there/yet"
    ):
        check_disk(10**18, cache)


def test_a_download_tells_how_much_has_come(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (model / "model.safetensors").write_bytes(bytes(3_000_000))
    script = (
        "from dsum_bench.engines.hub import fetch\n"
        "from dsum_bench.spec import ModelSpec\n"
        f"fetch(ModelSpec('m', 'chat', ('someone/model',)), '{COMMIT}', print)"
    )
    with serving({"someone/model": model}) as (address, _):
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")}
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "downloading, 3 MB so far"


def test_what_is_missing_in_the_cache_is_asked_of_the_hub(tmp_path: Path, bart_tokenizer: Any) -> None:
    """Another program may have fetched all but the chat template, which is a file of its own."""
    good = tiny.bart(tmp_path / "good", bart_tokenizer)
    (good / "consolidated.safetensors").write_bytes(bytes(1000))
    (good / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    others = sorted(f.name for f in good.iterdir() if f.name not in ("chat_template.jinja", "consolidated.safetensors"))
    script = (
        "import sys\n"
        "from huggingface_hub import hf_hub_download\n"
        "from dsum_bench.engines import hub\n"
        "from dsum_bench.spec import ModelSpec\n"
        "model = ModelSpec('m', 'chat', ('someone/good',))\n"
        "for name in sys.argv[2:]:\n"
        "    hf_hub_download('someone/good', name)\n"
        "if sys.argv[1] == 'fetch':\n"
        "    folder = hub.fetch(model, hub.look(model).revision, lambda text: None)\n"
        "    print(sorted(f.name for f in folder.iterdir() if f.name[:4] in ('chat', 'cons')))\n"
        "found = hub.look(model)\n"
        "print(found.folder is not None, found.download_bytes)\n"
    )

    def run(*arguments: str) -> list[str]:
        environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    with serving({"someone/good": good}) as (address, _):
        assert run("look", *others) == ["False 14"]
    with serving({}) as (address, _):
        assert run("look") == ["True 0"]  # gone from the hub: what is there goes on to work
    with serving({"someone/good": good}) as (address, _):
        assert run("fetch") == ["['chat_template.jinja']", "True 0"]
