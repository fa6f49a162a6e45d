"""Answers that are no plain summary: what may pass is asked again, what will not is stored as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dsum_bench_openai.asking import LARGEST
from dsum_bench_openai.engine import same_model
from dsum_bench_openai.reading import NO_CONTENT, ONLY_REASONING, TOOL_CALL, Answer, ErrorInside, Passing, read
from running import KEY, files_with, findings, rows, screen, stored, write
from server import Fault, chat_answer, serving

TOO_LONG = "This model's maximum context length is 2048 tokens. However, you requested 9000 tokens"
GOOD = "#Person1#은 예약합니다."


def body(*arguments: Any, **more: Any) -> bytes:
    return json.dumps(chat_answer(*arguments, **more)).encode()


# -- one answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text", "finish", "note"),
    [
        (body(GOOD), GOOD, "stop", ""),
        (body(GOOD, "length"), GOOD, "length", ""),
        (body(GOOD, None), GOOD, "stop", ""),
        (body(""), "", "stop", ""),
        (body(None), "", "stop", NO_CONTENT),
        (body(None, "length", reasoning_content="음,"), "", "length", ONLY_REASONING),
        (body("", "length", reasoning="음,"), "", "length", ONLY_REASONING),
        (body(None, "tool_calls", tool_calls=[{"id": "1"}]), "", "stop", TOOL_CALL),
        (body(None, refusal="I cannot help."), "", "refused", "I cannot help."),
        (body(None, None, refusal="I cannot help."), "", "refused", "I cannot help."),
        (body(None, "content_filter"), "", "refused", "the server's content filter"),
        (body("반만", "content_filter"), "반만", "refused", "the server's content filter"),
        (body([{"type": "text", "text": "#Person1#은 "}, {"type": "text", "text": "예약합니다."}]), GOOD, "stop", ""),
        (body(["#Person1#은 ", {"type": "output_text", "text": "예약합니다."}]), GOOD, "stop", ""),
        (body([{"type": "thinking", "thinking": "음,"}, {"type": "text", "text": GOOD}]), GOOD, "stop", ""),
        (body([{"type": "thinking", "thinking": "음,"}], "length"), "", "length", ONLY_REASONING),
        (body([{"type": "refusal", "refusal": "No."}]), "", "refused", "No."),
    ],
)
def test_an_answer_that_would_be_the_same_again_is_one(content: bytes, text: str, finish: str, note: str) -> None:
    assert read(content, "chat") == Answer(text, finish, 10, 5, note, "m")  # type: ignore[arg-type]


def test_an_answer_that_does_not_say_how_it_ended_was_cut_when_it_has_all_tokens_it_may_have() -> None:
    assert read(body(GOOD, None), "chat", limit=5).finish == "length"
    assert read(body(GOOD, None), "chat", limit=6).finish == "stop"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [1]}',
        b'{"choices": [{}]}',
        b'{"choices": [{}, {}]}',
        b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}',
        body(None, None),
        body(None, "error"),
        body("반", "abort"),
    ],
)
def test_an_answer_that_is_not_whole_is_a_fault_that_may_pass(content: bytes) -> None:
    with pytest.raises(Passing):
        read(content, "chat")


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        ({"error": {"message": "no more", "code": 429}}, 429, "no more"),
        ({"error": {"message": "no more", "code": "500"}}, 500, "no more"),
        ({"error": "no more"}, 0, "no more"),
        ({"object": "error", "message": "no more", "code": 400}, 400, "no more"),
        ({"detail": "no more"}, 0, "no more"),
        ({"error": {"message": "Provider", "code": 502, "metadata": {"raw": "down"}}}, 502, "Provider: down"),
        ({"choices": [{"error": {"message": "down", "code": 502}, "message": {}}]}, 502, "down"),
        ({"choices": [], "error": {"type": "x"}}, 0, "no reason given"),
    ],
)
def test_an_error_in_the_place_of_an_answer_has_its_own_words(document: Fault, status: int, words: str) -> None:
    with pytest.raises(ErrorInside, match=words) as caught:
        read(json.dumps(document).encode(), "chat")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("claude", "claude-20250514", True),
        ("org/m", "org/m@main", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("llama-3-8b", "llama-3-70b", False),
    ],
)
def test_a_release_of_the_model_asked_for_is_no_other_model(asked: str, answered: str, same: bool) -> None:
    assert same_model(asked, answered) is same


# -- one sample among others --------------------------------------------------------------------------------------


SAMPLES: dict[int, tuple[Fault, str, str, str]] = {
    1: (chat_answer(None, refusal="I cannot help."), "refused", "refused", "I cannot help. (sample 's1')"),
    2: ((400, {"error": {"message": TOO_LONG, "code": 400}}), "refused", "refused", f"{TOO_LONG} (sample 's2')"),
    3: ((413, {"error": "too large"}), "refused", "refused", "too large (sample 's3')"),
    4: ((403, {"error": {"message": "your input was flagged"}}), "refused", "refused", "flagged (sample 's4')"),
    5: ({"error": {"message": "Bad dialogue", "code": 400}}, "refused", "refused", "Bad dialogue (sample 's5')"),
    6: (chat_answer(None, "length", reasoning_content="음,"), "length", "noted", "only reasoning came"),
    7: (chat_answer(None), "stop", "noted", "no content (sample 's7')"),
}
"""Number of a dialogue -> what the server says to it, how that is stored, the check that tells it and its words."""


def test_samples_without_an_answer_are_stored_named_and_not_asked_again(tmp_path: Path) -> None:
    n = 12

    def script(asked: str, before: int) -> Fault:
        number = int(asked.rpartition("number ")[2].split()[0])
        return SAMPLES[number][0] if number in SAMPLES else ""

    with serving(script) as server:
        write(tmp_path, server.url, n=n)
        done = screen(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert screen(tmp_path).returncode == 0
    assert len(server.asked) == n
    assert stored(tmp_path) == {f"s{i}": "" if i in SAMPLES else f"summary of {i}" for i in range(n)}
    assert rows(tmp_path, "select status, empty from runs") == [("done", len(SAMPLES))]
    kept = dict(rows(tmp_path, "select sample_id, finish from outputs"))
    assert kept == {f"s{i}": SAMPLES[i][1] if i in SAMPLES else "stop" for i in range(n)}
    notes = dict(rows(tmp_path, "select sample_id, note from outputs where note != ''"))
    assert notes.keys() == {f"s{i}" for i in SAMPLES}
    assert all(words.partition(" (sample")[0] in notes[f"s{i}"] for i, (*_, words) in SAMPLES.items())
    found = findings(tmp_path)
    assert found["refused"].startswith("5 of 12 samples (42 %) were refused")
    assert "I cannot help. (sample 's1')" in found["refused"]
    assert "no content (sample 's7')" in found["noted"]


NEVER: dict[int, tuple[str, int, str]] = {
    1: ("status 500", 2, "status 500 (no), 2 times"),
    4: ("huge", 1, "larger than 2 MB"),
    7: ("endless", 1, "larger than 2 MB"),
}
"""Number of a dialogue -> its fault, how often it is tried, what is said of it."""


def test_samples_that_are_never_answered_are_named_and_asked_for_again_by_the_next_call(tmp_path: Path) -> None:
    n, broken = 9, True

    def script(asked: str, before: int) -> Fault:
        number = int(asked.rpartition("number ")[2].split()[0])
        return NEVER[number][0] if broken and number in NEVER else ""

    with serving(script) as server:
        write(tmp_path, server.url, n=n)
        screen(tmp_path, ATTEMPTS="2", IN_FLIGHT="1")
        ((status, reason),) = rows(tmp_path, "select status, reason from runs")
        asked = n - len(NEVER) + sum(tries for _, tries, _ in NEVER.values())
        assert (status, len(stored(tmp_path)), len(server.asked)) == ("partial", n - len(NEVER), asked)
        assert all(f"sample 's{i}'" in reason and words in reason for i, (_, _, words) in NEVER.items())
        broken = False
        screen(tmp_path)
    assert len(server.asked) == asked + len(NEVER)
    assert rows(tmp_path, "select status, n_samples from runs") == [("done", n)]


def test_a_server_that_refuses_everything_gives_no_score_and_is_not_asked_for_all(tmp_path: Path) -> None:
    broken = True

    def script(asked: str, before: int) -> Fault:
        return (400, {"error": {"message": "max_tokens is not known here"}}) if broken else ""

    with serving(script, delay=0.05) as server:
        write(tmp_path, server.url, n=60)
        screen(tmp_path, IN_FLIGHT="2")
        ((status, reason),) = rows(tmp_path, "select status, reason from runs")
        assert (status, stored(tmp_path)) == ("failed", {})
        assert "max_tokens is not known here" in reason
        assert len(server.asked) < 60
        broken = False
        screen(tmp_path)
    assert rows(tmp_path, "select status from runs") == [("done",)]
    assert len(stored(tmp_path)) == 60


def test_an_account_without_credit_is_not_retried_and_is_named(tmp_path: Path) -> None:
    words = "Provider returned error: daily free quota used up"
    with serving(lambda asked, before: {"error": {"message": words, "code": 429}}) as server:
        write(tmp_path, server.url, n=6)
        screen(tmp_path, IN_FLIGHT="1")
    assert len(server.asked) == 1
    ((status, reason),) = rows(tmp_path, "select status, reason from runs")
    assert status == "skipped"
    assert words in reason


def test_a_body_that_trickles_on_ends_within_the_stated_time(tmp_path: Path) -> None:
    with serving(lambda asked, before: "drip") as server:
        write(tmp_path, server.url, n=1)
        screen(tmp_path, TIMEOUT="1")
    assert len(server.asked) == 2
    ((status, reason),) = rows(tmp_path, "select status, reason from runs")
    assert status == "failed"
    assert "no whole answer within 1 s, 2 times" in reason


def test_an_error_body_that_does_not_end_is_not_read_to_its_end() -> None:
    from dsum_bench_openai.asking import Server
    from dsum_bench_openai.reading import Unreadable

    assert LARGEST < 4_000_000
    with serving(lambda asked, before: "endless") as server:
        asking = Server(server.url, "", 5, 1)
        with pytest.raises(Unreadable, match="larger than 2 MB"):
            asking.once("chat", {"messages": [{"role": "user", "content": "number 1 "}]}, 5)


# -- what leaves a server -----------------------------------------------------------------------------------------


def test_the_key_does_not_come_in_by_any_way(tmp_path: Path) -> None:
    answers: list[Fault] = [
        chat_answer(f"Authorization: Bearer {KEY}"),
        chat_answer([{"type": "text", "text": KEY[:5]}, {"type": "text", "text": KEY[5:]}]),
        chat_answer(None, refusal=f"not with {KEY}"),
        chat_answer(GOOD) | {"model": KEY},
        {"error": {"message": f"bad {KEY}", "code": 400}},
        (400, {"error": {"message": "x" * 280 + KEY}}),
        (500, {"detail": KEY}),
    ]

    def script(asked: str, before: int) -> Fault:
        return answers[int(asked.rpartition("number ")[2].split()[0])]

    with serving(script, key=KEY) as server:
        write(tmp_path, server.url, n=len(answers), key="THE_KEY")
        done = screen(tmp_path, key=KEY, ATTEMPTS="1")
    assert len(server.asked) == len(answers)
    assert KEY not in done.stdout + done.stderr
    assert files_with(tmp_path, KEY) == []
    kept = rows(tmp_path, "select output || note from outputs") + rows(tmp_path, "select reason from runs")
    assert len(kept) == len(answers)
    assert not any(KEY[:12] in text for (text,) in kept)
    assert stored(tmp_path)["s0"] == "Authorization: Bearer [key]"
    assert "repeats the key" in findings(tmp_path)["noted"]


def test_a_short_key_of_a_local_server_is_not_masked_in_texts(tmp_path: Path) -> None:
    with serving(lambda asked, before: chat_answer("The box is EMPTY today."), key="EMPTY") as server:
        write(tmp_path, server.url, n=1, key="THE_KEY")
        screen(tmp_path, key="EMPTY")
    assert stored(tmp_path) == {"s0": "The box is EMPTY today."}


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(tmp_path: Path) -> None:
    with serving(lambda asked, before: "", key=KEY) as other, serving(lambda asked, before: "redirect") as server:
        server.elsewhere = other.url
        write(tmp_path, server.url, n=2, key="THE_KEY")
        screen(tmp_path, key=KEY)
    assert other.asked == []
    assert "write the right address into url" in rows(tmp_path, "select reason from runs")[0][0]


def test_an_answer_from_another_model_is_noted_once(tmp_path: Path) -> None:
    with serving(lambda asked, before: chat_answer(GOOD) | {"model": "other-7b"}) as server:
        write(tmp_path, server.url, n=8)
        done = screen(tmp_path)
    assert (done.stdout + done.stderr).count("other-7b") == 1
    assert len(rows(tmp_path, "select 1 from outputs where note != ''")) == 1
    assert "answered by model 'other-7b', not 'm'" in findings(tmp_path)["noted"]
