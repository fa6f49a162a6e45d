"""Tables as dataclasses, the lines of keys, and settings of the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.errors import UserError
from dsum_bench.registry.tables import Where, read_table, with_settings
from dsum_bench.registry.toml_lines import join_key, key_lines, split_key

# -- where a key stands -----------------------------------------------------------------------------------------

NAMES = st.text(st.sampled_from('ab-_.7 "[]#=\\{,'), min_size=1, max_size=4)
VALUES = st.sampled_from(
    [
        "1",
        "1.5",
        "true",
        '"x = 1 # no"',
        "'[a]'",
        "1979-05-27 07:32:00",
        '"""\n[models.x]\ny = 1\n"""',
        "'''\nz = \"\n'''",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """A TOML text and the line of each key, kept while it is written."""
    lines: list[str] = []
    places: dict[tuple[str | int, ...], int] = {}

    def put(text: str, *path: str | int) -> None:
        if path:
            places[path] = 1 + sum(t.count("\n") + 1 for t in lines)
        lines.append(text)

    for table in draw(st.lists(NAMES, unique=True, max_size=4)):
        shape = draw(st.sampled_from(["table", "list", "inline"]))
        for item in range(draw(st.integers(1, 3)) if shape == "list" else 1):
            path: tuple[str | int, ...] = ("top", table, item) if shape == "list" else ("top", table)
            head = join_key("top", table)
            put(f"[[ {head} ]]  # [x]" if shape == "list" else f"[{head}]", *path)
            for key in draw(st.lists(NAMES, unique=True, max_size=3)):
                value = draw(VALUES)
                if shape == "inline":
                    put(f"{join_key(key)} = [", *path, key)
                    put(f"  {{ a = 1, {join_key(key, 'b')} = 2 }}, # ]", *path, key, 0)
                    places[(*path, key, 0, key, "b")] = places[(*path, key, 0)]
                    put("  [3, 4] ]", *path, key, 1)
                else:
                    put(f"{join_key(key)} = {value}", *path, key)
                if draw(st.booleans()):
                    put("# [comment] = 1")
    return "\n".join(lines), places


@settings(max_examples=200, deadline=None)
@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[tuple[str | int, ...], int]]) -> None:
    text, places = document
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # {a = 1, a.b = 2}: the one clash this strategy can write
        assert "{ a = 1, a.b" in text
        return
    found = key_lines(text)
    assert {path: found.get(path) for path in places} == places


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_dotted_keys_are_split_as_they_were_joined(parts: list[str]) -> None:
    assert split_key(join_key(*parts)) == tuple(parts)
    # Oracle: what tomllib makes of the same key.
    document: Any = tomllib.loads(f"{join_key(*parts)} = 1")
    for part in parts:
        document = document[part]
    assert document == 1


# -- tables of any dataclass ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    size: int
    word: str = "w"


@dataclass(frozen=True)
class Settings:
    needed: str
    count: int = 1
    rate: float = 0.5
    on: bool = False
    maybe: int | None = None
    mode: Literal["a", "b", 3] = "a"
    words: tuple[str, ...] = ()
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    free: Mapping[str, object] = field(default_factory=dict)
    deep: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative, but is {self.count}")


def settings_of(text: str) -> Settings:
    return read_table(Settings, tomllib.loads(text), Where("f.toml", text))


def test_a_table_becomes_a_dataclass() -> None:
    text = """
needed = "n"
count = 2
rate = 3
on = true
maybe = 4
mode = 3
words = ["x", "y"]
inner = { size = 5 }
inners = [{ size = 6, word = "z" }]
free = { a = [1, { b = 2 }] }
deep = { a = { b = 1 } }
"""
    made = settings_of(text)
    expected = Settings(
        "n", 2, 3.0, True, 4, 3, ("x", "y"), Inner(5), (Inner(6, "z"),), {"a": [1, {"b": 2}]}, {"a": {"b": 1}}
    )
    assert made == expected
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("count = true", "key 'count' must be an integer, not true"),
        ("count = 1.0", "key 'count' must be an integer, not 1.0"),
        ("count = -1", "count must not be negative, but is -1"),
        ("rate = false", "key 'rate' must be a number, not false"),
        ("rate = inf", "key 'rate' must be a number, not Infinity"),
        ("on = 1", "key 'on' must be true or false, not 1"),
        ('maybe = "x"', "key 'maybe' must be an integer, not \"x\""),
        ("mode = 4", 'key \'mode\' must be "a" or "b" or 3, not 4'),
        ("mode = true", 'key \'mode\' must be "a" or "b" or 3, not true'),
        ("inner = {}", "key 'size' is missing"),
        ("inner = 3", "key 'inner' must be a table, not 3"),
        ("inner = { size = 1, wort = 2 }", "unknown key 'wort'; did you mean 'word'?"),
        ("deep = { a = { b = true } }", "key 'deep.a.b' must be an integer, not true"),
        ("deep = { a = 3 }", "key 'deep.a' must be a table, not 3"),
        (f'count = "{"x" * 99}"', f"key 'count' must be an integer, not \"{'x' * 56}..."),
        (
            "zzzzzz = 1",
            "unknown key 'zzzzzz'; known: count, deep, free, inner, inners, maybe, mode, needed, on, rate, w",
        ),
    ],
)
def test_a_table_that_does_not_fit(line: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        settings_of(f'needed = "n"\n\n{line}\n')
    place, _, said = str(error.value).partition(": ")
    assert place.startswith("f.toml, line 3") and said.startswith(problem)


def test_a_class_that_no_table_can_express_is_the_programmers_fault() -> None:
    @dataclass(frozen=True)
    class Odd:
        what: complex

    with pytest.raises(TypeError, match="a table cannot hold a value of type <class 'complex'>"):
        read_table(Odd, {"what": 1}, Where("f"))


def test_a_place_without_a_text_has_no_line() -> None:
    with pytest.raises(UserError) as error:
        read_table(Inner, {}, Where("plugin", table='models."a.b".options'))
    assert str(error.value) == "plugin, [models.\"a.b\".options]: key 'size' is missing"


# -- settings of the command line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("count=3", "count", 3),
        (" count = 3 ", "count", 3),
        ("rate=2", "rate", 2.0),
        ("on=true", "on", True),
        ("needed=plain text", "needed", "plain text"),
        ("needed=3", "needed", "3"),
        ("needed='3'", "needed", "3"),
        ("needed=a=b", "needed", "a=b"),
        ("needed=", "needed", ""),
        ("needed=1\ncount = 2", "needed", "1\ncount = 2"),
        ('words=["x", "y"]', "words", ("x", "y")),
        ("mode=b", "mode", "b"),
        ("mode=3", "mode", 3),
        ("inner={ size = 1 }", "inner", Inner(1)),
    ],
)
def test_a_setting_is_read_as_toml_or_as_text(setting: str, key: str, value: object) -> None:
    found = with_settings(Settings, {"count": 9, "words": ("kept",)}, [setting])
    assert found == {"count": 9, "words": ("kept",), key: value}
    assert type(found[key]) is type(value)


def test_the_last_setting_wins_and_the_parameters_stay_as_they_were() -> None:
    params = {"count": 1}
    assert with_settings(Settings, params, ["count=2", "rate=1", "count=3"]) == {"count": 3, "rate": 1.0}
    assert params == {"count": 1}


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("count", "--set count: write it as KEY=VALUE"),
        ("=3", "--set =3: write it as KEY=VALUE"),
        ("cuont=3", "--set cuont=3: unknown key 'cuont'; did you mean 'count' or 'on'?"),
        ("count=three", "--set count=three: 'count' must be an integer, not \"three\""),
        ("on=yes", "--set on=yes: 'on' must be true or false, not \"yes\""),
        ("words=x", "--set words=x: 'words' must be a list of strings, not \"x\""),
    ],
)
def test_a_setting_that_does_not_fit(setting: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        with_settings(Settings, {}, [setting])
    assert str(error.value) == problem
