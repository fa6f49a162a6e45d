"""Pushing an export to a hub, which here stands on the loopback address."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Dsum
from hub_uploads import receiving
from tuning import place, train

TOKEN = "hf_a_token_of_this_test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place(tmp_path, [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)])
    train(tmp_path, "epochs=0.5")
    return tmp_path


def hub(folder: Path, address: str, token: str | None = TOKEN) -> Dsum:
    given = {"HF_TOKEN": token} if token else {}
    return Dsum(folder, HF_ENDPOINT=address, HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1", HF_HOME=str(folder / "hf"),
                **given)  # fmt: skip


def test_an_export_is_pushed_whole_and_the_token_stays_where_it_was(folder: Path) -> None:
    with receiving(TOKEN) as got:
        done = hub(folder, got.address)("export", "mine@x", "-o", "out", "--push", "somebody/summariser")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"pushed to {got.address}/somebody/summariser" in done.stderr
        pushed = got.files["somebody/summariser"]
        here = {f.name: f.read_bytes() for f in (folder / "out").iterdir()}
        assert pushed == here and {"README.md", "adapter_model.safetensors", "finetune.toml"} <= here.keys()
        assert got.private["somebody/summariser"]
        done = hub(folder, got.address)("export", "mine@x", "-o", "o2", "--push", "somebody/open", "--public")
        assert done.returncode == 0 and not got.private["somebody/open"], done.stderr
    kept = [f for f in folder.rglob("*") if f.is_file() and TOKEN.encode() in f.read_bytes()]
    assert not kept and got.tokens <= {TOKEN, ""}


def test_what_a_hub_refuses_is_told_before_anything_is_written(folder: Path) -> None:
    with receiving(TOKEN) as got:
        for dsum, repo, told in (
            (hub(folder, got.address, None), "somebody/x", "nobody is logged in to the hub"),
            (hub(folder, got.address, "wrong"), "somebody/x", "the hub does not take the token"),
            (hub(folder, got.address), "x", "write it as OWNER/NAME"),
            (hub(folder, "http://127.0.0.1:9"), "somebody/x", "is not there"),
        ):
            done = dsum("export", "mine@x", "-o", "out", "--push", repo)
            assert done.returncode == 2 and told in done.stderr, done.stderr
            assert not (folder / "out").exists()
        # Whether one may write to an owner's name is known only when it is tried; the export is there then.
        done = hub(folder, got.address)("export", "mine@x", "-o", "out", "--push", "another/x")
        assert done.returncode == 2 and "another/x cannot be pushed" in done.stderr and "is complete" in done.stderr
        assert (folder / "out/README.md").is_file()
    alone = hub(folder, "http://127.0.0.1:9")("export", "mine@x", "-o", "o3", "--public")
    assert alone.returncode == 2 and "--public is only valid with --push OWNER/NAME" in alone.stderr
