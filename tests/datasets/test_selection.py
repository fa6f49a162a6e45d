"""Which samples are chosen, and the fingerprints that tell one choice from another."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest

from dsum_bench.datasets.load import Selection, select
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import references_fingerprint, samples_fingerprint
from dsum_bench.spec import Sample

# -- choosing ---------------------------------------------------------------------------------------------------

MANY = tuple(Sample(f"s{n}", f"dialogue {n}") for n in range(499))


def test_all_samples() -> None:
    assert select(MANY, None, None, 42) == Selection(MANY, "all")
    assert select(MANY, 499, None, 42) == select(MANY, 5000, None, 1) == Selection(MANY, "all")
    assert select(MANY, None, 500, 42) == Selection(MANY, "all")


def test_the_first_samples() -> None:
    assert select(MANY, 50, None, 42) == Selection(MANY[:50], "first 50")


def test_a_draw_is_without_replacement_in_file_order_and_repeatable() -> None:
    drawn = select(MANY, None, 50, 42)
    numbers = [int(s.id[1:]) for s in drawn.samples]
    assert drawn.label == "50 of 499, seed 42"
    assert len(set(numbers)) == 50 and numbers == sorted(numbers) and set(drawn.samples) <= set(MANY)
    assert select(MANY, None, 50, 42) == drawn
    assert select(MANY, None, 50, 43).samples != drawn.samples


def test_every_sample_has_the_same_chance() -> None:
    counts = dict.fromkeys(range(10), 0)
    for seed in range(2000):
        for s in select(MANY[:10], None, 3, seed).samples:
            counts[int(s.id[1:])] += 1
    # 2,000 draws of 3 of 10: 600 each; 100 is about 5 standard deviations (20.5).
    assert all(abs(c - 600) < 100 for c in counts.values())


@pytest.mark.parametrize(
    ("limit", "sample", "problem"),
    [
        (0, None, "--limit must be at least 1, not 0"),
        (None, -3, "--sample must be at least 1, not -3"),
        (5, 5, "--limit and --sample cannot be combined; give one of them"),
    ],
)
def test_choices_that_make_no_sense(limit: int | None, sample: int | None, problem: str) -> None:
    with pytest.raises(UserError) as error:
        select(MANY, limit, sample, 42)
    assert str(error.value) == problem


# -- fingerprints -----------------------------------------------------------------------------------------------


def test_fingerprints_are_what_sha256sum_says() -> None:
    # printf '[["a","안녕"],["b","x"]]' | sha256sum, and the same for [["a","r1","r2"],["b"]]
    samples = [Sample("a", "안녕", ("r1", "r2"), "t"), Sample("b", "x")]
    assert samples_fingerprint(samples) == "b1ed80ddc07cd7ba"
    assert references_fingerprint(samples) == "1db838e3fdf5f6c1"


@pytest.mark.parametrize(
    ("change", "changes_text", "changes_references"),
    [
        (lambda s: s[::-1], False, False),
        (lambda s: s[:1], True, True),
        (lambda s: [Sample("z", s[0].dialogue, s[0].references), s[1]], True, True),
        (lambda s: [Sample("a", "other", s[0].references), s[1]], True, False),
        (lambda s: [Sample("a", s[0].dialogue, ("r1r2",)), s[1]], False, True),
        (lambda s: [Sample("a", s[0].dialogue, s[0].references, "topic"), s[1]], False, False),
    ],
)
def test_fingerprints_change_with_what_they_cover(
    change: Callable[[list[Sample]], list[Sample]], changes_text: bool, changes_references: bool
) -> None:
    samples = [Sample("a", "x", ("r1", "r2")), Sample("b", "y", ("r3",))]
    changed = change(samples)
    assert (samples_fingerprint(changed) != samples_fingerprint(samples)) is changes_text
    assert (references_fingerprint(changed) != references_fingerprint(samples)) is changes_references
    assert len(samples_fingerprint(samples)) == 16 and set(samples_fingerprint(samples)) <= set(string.hexdigits)
