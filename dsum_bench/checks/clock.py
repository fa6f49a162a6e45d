"""The check of prompts that change with the time."""

from __future__ import annotations

from datetime import datetime

from dsum_bench.adapters.rendering import told
from dsum_bench.checks.base import Check, Setup
from dsum_bench.spec import Finding, PromptSpec

DATES = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y. %m. %d", "%m/%d/%Y")


class Clock(Check):
    """Prompts hold the time, so that tomorrow's are others."""

    name = "clock"
    mark = "t"
    level = "error"
    meaning = "prompt changes with the time"

    def before(self, setup: Setup) -> Finding | None:
        if setup.loaded.tokenizer is None or not setup.samples:
            return None
        sample = setup.samples[0]
        texts = []
        for then in (datetime(2031, 5, 17, 1, 2, 3), datetime(2032, 11, 28, 23, 59, 58)):
            with told(then):
                texts.append(setup.adapter.prompt(sample).text)
        if texts[0] != texts[1]:
            return self.found(
                "its chat template prints the time (strftime_now), and this adapter lets it read the clock: tomorrow's "
                "prompts are others; render with dsum_bench.adapters.rendering.render, whose clock stands still"
            )
        text = setup.prompts[sample.id].text.replace(sample.dialogue, "")
        today = next((date for date in _dates(datetime.now()) if date in text), None)
        if today is None or today in _said(setup.run.prompt):
            return None
        return self.found(
            f"prompts hold today's date ('{today}'), so tomorrow's are others and a run cannot be repeated: write a "
            "fixed date"
        )


def _dates(now: datetime) -> list[str]:
    korean = [f"{now.year}년 {now.month}월 {now.day}일", f"{now.year}년 {now.month:02}월 {now.day:02}일"]
    return [*map(now.strftime, DATES), *korean]


def _said(prompt: PromptSpec | None) -> str:
    if prompt is None:
        return ""
    return "\n".join([prompt.system, prompt.user, *(f"{e.dialogue}\n{e.summary}" for e in prompt.examples)])


CHECKS: tuple[type[Check], ...] = (Clock,)
