"""The key of a run: what changes an output changes it, what only describes does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_runs import (
    GREEDY,
    WITH_SUPPORT,
    make_run,
)

from dsum_bench.fingerprints import canonical, run_id
from dsum_bench.spec import DecodingSpec, Example, Placement, RunSpec

BASE = make_run()
PROMPT = BASE.prompt
assert PROMPT is not None

CHANGES: dict[str, RunSpec] = {
    "name": replace(BASE, model=replace(BASE.model, name="b")),
    "source": replace(BASE, model=replace(BASE.model, source=("other/name",))),
    "revision": replace(BASE, model=replace(BASE.model, revision="main")),
    "sha256": replace(BASE, model=replace(BASE.model, sha256="00")),
    "adapter": replace(BASE, model=replace(BASE.model, adapter="llama3")),
    "options": replace(BASE, model=replace(BASE.model, options={"prefix": "요약: "})),
    "engine": replace(BASE, model=replace(BASE.model, engine="other")),
    "allow": replace(BASE, model=replace(BASE.model, allow=("remote-code",))),
    "max_prompt_tokens": replace(BASE, model=replace(BASE.model, max_prompt_tokens=512)),
    "weights": replace(BASE, weights="abd"),
    "system": replace(BASE, prompt=replace(PROMPT, system="")),
    "user": replace(BASE, prompt=replace(PROMPT, user="{dialogue}")),
    "examples": replace(BASE, prompt=replace(PROMPT, examples=(Example("가", "나"),))),
    "no prompt": replace(BASE, prompt=None),
    "prompt_format": replace(BASE, prompt_format="raw"),
    "strategy": replace(BASE, decoding=DecodingSpec("greedy", "beam", {"max_new_tokens": 128})),
    "params": replace(BASE, decoding=DecodingSpec("greedy", "greedy", {"max_new_tokens": 64})),
    "dtype": replace(BASE, placement=replace(BASE.placement, dtype="bfloat16")),
    "quantization": replace(BASE, placement=replace(BASE.placement, quantization="nf4")),
    "device": replace(BASE, placement=replace(BASE.placement, device="cuda:0")),
    "dialogues": replace(BASE, dataset_fingerprint="other"),
    "dataset": replace(BASE, dataset="other"),
    "language": replace(BASE, language="en"),
    "split": replace(BASE, split="test"),
    "seed": replace(BASE, seed=7),
    "versions": replace(BASE, versions={"torch": "2.14"}),
}

SAME: dict[str, RunSpec] = {
    "license": replace(BASE, model=replace(BASE.model, license="MIT")),
    "note": replace(BASE, model=replace(BASE.model, note="x")),
    "origin": replace(BASE, model=replace(BASE.model, origin="registry.toml")),
    "wished dtype": replace(BASE, model=replace(BASE.model, dtype="bfloat16")),
    "prompt's name": replace(BASE, prompt=replace(PROMPT, name="other")),
    "decoding's name": replace(BASE, decoding=replace(GREEDY, name="other")),
    "references": replace(BASE, references_fingerprint="other"),
    "selection": replace(BASE, selection="first 4"),
    "placement": replace(BASE, placement=Placement("cpu", "float32", "none", "another reason", 5)),
}


def test_key_is_twelve_hexadecimal_digits() -> None:
    assert len(run_id(BASE)) == 12
    assert set(run_id(BASE)) <= set("0123456789abcdef")


def test_what_changes_the_output_changes_the_key() -> None:
    keys = {name: run_id(run) for name, run in CHANGES.items()} | {"base": run_id(BASE)}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("name", SAME)
def test_what_only_describes_leaves_the_key(name: str) -> None:
    assert run_id(SAME[name]) == run_id(BASE)


def test_gpu_number_leaves_the_key() -> None:
    placed = [replace(BASE, placement=replace(BASE.placement, device=f"cuda:{i}")) for i in (0, 1)]
    assert run_id(placed[0]) == run_id(placed[1])


def test_key_is_the_same_in_another_process() -> None:
    # Hash randomisation would show here, were a set or hash() involved.
    code = "from store_runs import make_run; from dsum_bench.fingerprints import run_id; print(run_id(make_run()))"
    env = WITH_SUPPORT | {"PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert out.strip() == run_id(BASE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_canonical_json_keeps_the_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


def test_canonical_json_ignores_order_and_kind_of_sequence() -> None:
    assert canonical({"b": (1, 2), "a": {"y", "x"}}) == canonical({"a": ["x", "y"], "b": [1, 2]})
