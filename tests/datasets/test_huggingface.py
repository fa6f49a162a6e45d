"""Parquet, saved Arrow files, and datasets of the hub: the layouts of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Dsum
from hub_server import CONVERTED, serving

from dsum_bench.datasets.huggingface import layout
from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.spec import DatasetSpec, PluginSettings

PLUGINS = Plugins(PluginSettings(packages=()))


def rows(split: str, count: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}-{n}",
            "dialogue": f"#Person1#: 몇 시에 만날까? {n}\n#Person2#: 세 시에 보자.",
            "summary": [f"세 시에 만난다. {n}", f"둘이 약속한다. {n}"],
            "meta": {"topic": "약속", "turns": 2},
        }
        for n in range(count)
    ]


def lines(file: Path, content: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in content), encoding="utf-8")


def spec(path: Path | str, form: str = "huggingface") -> DatasetSpec:
    return DatasetSpec("mine", form, str(path), columns={"topic": "meta.topic"}, origin="registry.toml")


# -- which file holds what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            [
                "data/train-00000-of-00002.parquet",
                "data/train-00001-of-00002.parquet",
                "data/test-00000-of-00001.parquet",
            ],
            {"": {"train": 2, "test": 1}},
        ),
        (["train.jsonl", "validation.jsonl", "README.md", "dataset_infos.json"], {"": {"train": 1, "validation": 1}}),
        (
            ["default/train/0000.parquet", "default/train/0001.parquet"],
            {"default": {"train": 2}},
        ),  # the converted branch
        (["ko/train.csv", "en/train.csv", "en/test.csv"], {"ko": {"train": 1}, "en": {"train": 1, "test": 1}}),
        (  # save_to_disk of several splits
            ["dataset_dict.json", "train/data-00000-of-00001.arrow", "train/state.json", "train/cache-1f2e.arrow"],
            {"": {"train": 1}},
        ),
        (["data-00000-of-00001.arrow", "state.json", "dataset_info.json"], {"": {"train": 1}}),  # and of one
        (["train-00000-of-00001-a09b74b3ef9c3b56.parquet"], {"": {"train": 1}}),
        (["train.csv", "train.parquet"], {"": {"train": 1}}),  # the same twice
        (["script.py", "README.md"], {}),
    ],
)
def test_splits_are_told_by_the_names_of_files(names: list[str], expected: dict[str, dict[str, int]]) -> None:
    found = {c: {s: len(files) for s, files in splits.items()} for c, splits in layout(names).items()}
    assert found == expected


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    for n in (1, 0):
        lines(tmp_path / "data" / f"train-0000{n}-of-00002.jsonl", rows(f"t{n}", 2))
    assert [s.id for s in load(spec(tmp_path), PLUGINS, "train")] == ["t0-0", "t0-1", "t1-0", "t1-1"]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'nowhere does not exist; a dataset of the hub is written path = "hub:'):
        load(spec(tmp_path / "nowhere"), PLUGINS, "train")
    with pytest.raises(UserError, match="has no data files"):
        load(spec(tmp_path), PLUGINS, "train")
    lines(tmp_path / "ko" / "train.jsonl", rows("ko"))
    assert len(load(spec(tmp_path), PLUGINS, "train")) == 4
    with pytest.raises(UserError, match="has no split 'trian'; there are train; did you mean 'train'"):
        load(spec(tmp_path), PLUGINS, "trian")
    lines(tmp_path / "en" / "train.jsonl", rows("en"))
    with pytest.raises(
        UserError, match=r'several configurations: en, ko; name one of them in the path, as in path = ".*#en"'
    ):
        load(spec(tmp_path), PLUGINS, "train")
    assert load(spec(f"{tmp_path}#ko"), PLUGINS, "train")[0].id == "ko-0"
    with pytest.raises(UserError, match="no configuration 'kr'; did you mean 'ko'"):
        load(spec(f"{tmp_path}#kr"), PLUGINS, "train")


# -- Parquet and Arrow ------------------------------------------------------------------------------------------


def test_without_pyarrow_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "dev.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r'needs the package pyarrow: pip install "dsum-bench\[parquet\]"'):
        load(spec(tmp_path / "{split}.parquet", "parquet"), PLUGINS, "dev")


def test_parquet_gives_the_samples_of_the_same_json(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows("d", 7)), tmp_path / "dev.parquet", row_group_size=3)
    lines(tmp_path / "dev.jsonl", rows("d", 7))
    ours, theirs = (
        load(spec(tmp_path / f"{{split}}.{kind}", form), PLUGINS, "dev")
        for kind, form in (("parquet", "parquet"), ("jsonl", "jsonl"))
    )
    assert ours == theirs and ours[0].topic == "약속" and len(ours[0].references) == 2
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match=r"bad.parquet: not a valid Parquet file"):
        load(spec(tmp_path / "bad.parquet", "parquet"), PLUGINS, "dev")


def test_saved_arrow_files_are_read(tmp_path: Path) -> None:
    """The files of ``save_to_disk``: Arrow streams beside ``state.json``."""
    import pyarrow as pa

    for n in (0, 1):
        table = pa.Table.from_pylist(rows(f"t{n}", 2))
        file = tmp_path / "train" / f"data-0000{n}-of-00002.arrow"
        file.parent.mkdir(exist_ok=True)
        with pa.ipc.new_stream(file, table.schema) as out:
            out.write_table(table)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (tmp_path / "train" / "state.json").write_text("{}")
    assert [s.id for s in load(spec(tmp_path), PLUGINS, "train")] == ["t0-0", "t0-1", "t1-0", "t1-1"]
    (tmp_path / "train" / "data-00001-of-00002.arrow").write_bytes(b"no stream")
    with pytest.raises(UserError, match=r"data-00001-of-00002.arrow: not a valid Arrow file"):
        load(spec(tmp_path), PLUGINS, "train")


# -- the hub ------------------------------------------------------------------------------------------------------


def test_a_dataset_of_the_hub_is_fetched_once_and_read_offline(tmp_path: Path) -> None:
    lines(tmp_path / "served" / "data" / "train-00000-of-00001.jsonl", rows("h"))
    lines(tmp_path / "served" / "data" / "test-00000-of-00001.jsonl", rows("x"))
    converted = tmp_path / "converted"
    lines(converted / "default" / "train" / "0000.jsonl", rows("c"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "loader.py").write_text("raise SystemExit('this code must not run')")
    entry = '[datasets.{0}]\nformat = "huggingface"\npath = "hub:team/{0}"\ndefault_split = "train"\n'
    text = "".join(entry.format(name) for name in ("served", "code", "gated", "none"))
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    datasets = {"team/served": tmp_path / "served", "team/code": tmp_path / "code", "team/gated": converted}
    with serving({}, {"team/gated"}, {**datasets, f"team/code@{CONVERTED}": converted}) as (address, asked):
        dsum = Dsum(tmp_path, HF_ENDPOINT=address, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
        listed = {d["name"]: d["splits"] for d in json.loads(dsum("datasets", "--json").stdout)}
        assert listed["served"] == {"train": 4, "test": 4} and listed["code"] == {"train": 4}
        assert "gated" in str(listed["gated"]).lower() or "403" in str(listed["gated"])
        assert "team/none" in str(listed["none"])
        before = [a for a in asked if "resolve" in a and a.startswith("GET")]
        dsum("datasets")
        assert [a for a in asked if "resolve" in a and a.startswith("GET")] == before
        guessed = dsum("data", "guess", "hub:team/served")
        assert 'path = "hub:team/served"' in guessed.stdout and 'default_split = "test"' in guessed.stdout
    offline = {d["name"]: d["splits"] for d in json.loads(dsum("datasets", "--json", HF_HUB_OFFLINE="1").stdout)}
    assert offline["served"] == listed["served"]
    assert "cannot be reached" in str(offline["none"]) and "not in its cache" in str(offline["none"])
    assert offline["code"] == {"train": 4}
