"""Metric tokenizers against the engines behind them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.metrics.tokenizers import CharacterTokenizer, Mecab, MecabKo, MecabTags, Whitespace, around_tags

TEXT = "#Person1#은 #Person2#에게 #PhoneNumber#로 전화합니다."
MECAB, TAGS = Mecab(), MecabTags()


def test_words_and_characters() -> None:
    assert Whitespace()(" 대화를\n요약 \t합니다. ") == ["대화를", "요약", "합니다."]
    assert CharacterTokenizer()("가 나\u3000다\n.") == ["가", "나", "다", "."]


def test_mecab_splits_a_tag_and_mecab_tags_does_not() -> None:
    assert MECAB("#Person1#은")[:4] == ["#", "Person", "1", "#"]
    assert TAGS(TEXT)[:4] == ["#Person1#", "은", "#Person2#", "에게"]
    assert "#PhoneNumber#" in TAGS(TEXT)


@given(st.text(st.sampled_from("가나다라 #Person12.,a漢\n"), max_size=40))
def test_no_character_is_lost(text: str) -> None:
    bare = "".join(text.split())
    assert "".join(MECAB(text)) == bare
    assert "".join(around_tags(text, lambda t: t.split())) == bare


def test_the_fork_minds_spaces() -> None:
    text = "아버지가방에들어가신다"
    pytest.importorskip("mecab")
    from mecab import MeCab

    assert MecabKo()(text) == MeCab().morphs(text)


def test_a_missing_mecab_is_reported_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "MeCab.py").write_text("raise ImportError('libmecab.so.2 is missing')")
    program = (
        "from dsum_bench.plugins import Plugins, PluginSettings\n"
        "from dsum_bench.metrics.choose import build\n"
        "build(Plugins(PluginSettings(())), 'rouge@mecab')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=False
    )
    assert done.returncode != 0
    assert "UserError: metric tokenizer 'mecab' cannot open Mecab" in done.stderr
    assert "pip install mecab-python3 python-mecab-ko-dic" in done.stderr
