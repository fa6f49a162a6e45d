"""What every postprocessor must keep."""

from __future__ import annotations

from typing import ClassVar

from dsum_bench.dialogue import TAG
from dsum_bench.postprocess.base import Postprocessor, apply
from dsum_bench.testing.making import SAMPLES

TAGGED = (
    "#Person1#이 #Person2#에게 번호를 묻는다.",
    "#Person2#는 #PhoneNumber#라고 답한다. #Person1#은 고마워한다.",
    "요약: # Person 1 #는 person2에게 전화한다. 그리고",
    "네. 네. 네.",
    "(웃음)",
    '"인용"',
    "",
    " ",
)


class PostprocessorRules:
    """Set ``postprocessor``. texts: summaries of your own to try besides those here."""

    postprocessor: ClassVar[type[Postprocessor]]
    texts: ClassVar[tuple[str, ...]] = ()

    def test_it_changes_its_own_result_no_further(self) -> None:
        step = self.postprocessor()
        for sample in SAMPLES:
            for text in (*TAGGED, *self.texts, *sample.references):
                once = step(text, sample)
                assert isinstance(once, str), f"{text!r} becomes no string"
                assert step(once, sample) == once, f"{text!r} is changed again the second time"

    def test_a_tag_that_is_right_stays(self) -> None:
        step = self.postprocessor()
        for sample in SAMPLES:
            tags = "".join(f"{tag}도 있다. " for tag in dict.fromkeys(TAG.findall(sample.dialogue)))
            assert TAG.findall(step(tags, sample)) == TAG.findall(tags), f"the tags of {tags!r} do not stay"

    def test_no_summary_becomes_empty(self) -> None:
        for sample in SAMPLES:
            for text in (*TAGGED, *self.texts):
                assert not text.strip() or apply([self.postprocessor()], text, sample)[-1].strip()

    def test_it_treats_a_summary_alike_whatever_it_saw_before(self) -> None:
        texts = [(text, sample) for sample in SAMPLES for text in (*TAGGED, *self.texts)]
        step = self.postprocessor()
        told = [step(text, sample) for text, sample in texts]
        assert [self.postprocessor()(text, sample) for text, sample in texts] == told
        assert [step(text, sample) for text, sample in reversed(texts)] == told[::-1], "the order matters"
