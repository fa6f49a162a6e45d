"""Several servers of one model: work goes where it is answered, a server that dies costs nothing and is taken back."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dsum_bench_openai.adapters import ServerOptions
from dsum_bench_openai.fleet import Fleet, Stopped
from dsum_bench_openai.pace import Speed
from running import KEY, command, environment, expected, rows, screen, stored, write
from server import Faulty, serving

from dsum_bench import ModelError, ModelSkipped


def ask(fleet: Fleet, number: int) -> str:
    return fleet.ask("chat", {"messages": [{"role": "user", "content": f"This is number {number} today."}]}, 10).text


def answered(*servers: Faulty) -> Counter[str]:
    return sum((s.answered for s in servers), Counter())


def wait_for(what: str, condition: Any) -> None:
    until = time.monotonic() + 1800
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


def test_of_three_servers_one_dies_and_returns_and_every_sample_is_answered_once(tmp_path: Path) -> None:
    """The other two hold their last answers back until the one that died has answered again."""
    n, returned = 60, threading.Event()

    def held(asked: str, before: int) -> str:
        if len(answered(first, second, third)) > 40:
            returned.wait(120)
        return ""

    def mortal(asked: str, before: int) -> str:
        return ""

    def revived(asked: str, before: int) -> str:
        returned.set()
        return ""

    with ExitStack() as stack:
        first, third = (stack.enter_context(serving(held, delay=0.1)) for _ in range(2))
        with serving(mortal, delay=0.1) as second:
            write(tmp_path, [s.url for s in (first, second, third)], n=n)
            client = subprocess.Popen(
                command(), cwd=tmp_path, env=environment(IN_FLIGHT="2"), stdout=subprocess.PIPE, text=True
            )
            wait_for("its first answers", lambda: len(second.answered) >= 3)
        dead = len(second.asked)
        wait_for("answers of the others", lambda: len(answered(first, third)) >= 15)
        again = stack.enter_context(serving(revived, port=second.server_port))
        out, _ = client.communicate(timeout=1800)
    assert client.returncode == 0, out
    assert stored(tmp_path) == expected(n)
    assert rows(tmp_path, "select status from runs") == [("done",)]
    once = answered(first, second, third, again)
    assert len(once) == n
    assert set(once.values()) == {1}
    assert again.answered
    # Asked twice is only what the dead server had taken and not answered.
    lost = dead - len(second.answered)
    assert lost <= 2
    assert sum(len(s.asked) for s in (first, third, again)) + dead == n + lost


def test_each_server_gets_as_many_requests_as_it_can_answer() -> None:
    with serving(lambda asked, before: "", 0.02) as fast, serving(lambda asked, before: "", 0.5) as slow:
        fleet = Fleet([slow.url, fast.url], "", Speed(in_flight=2))
        with ThreadPoolExecutor(fleet.in_flight) as pool:
            texts = list(pool.map(lambda i: ask(fleet, i), range(40)))
    assert texts == [f"summary of {i}" for i in range(40)]
    assert 0 < len(slow.answered) < 10 < len(fast.answered)
    assert (slow.most, fast.most) == (2, 2)


def test_all_servers_share_the_limit_of_their_key() -> None:
    with serving(lambda asked, before: "", key=KEY) as one, serving(lambda asked, before: "", key=KEY) as two:
        fleet = Fleet([one.url, two.url], KEY, Speed(in_flight=2, requests_per_minute=5))
        with ThreadPoolExecutor(fleet.in_flight) as pool:
            work = [pool.submit(ask, fleet, i) for i in range(8)]
            wait_for("five answers", lambda: sum(w.done() for w in work) == 5)
            fleet.stop.set()
            ended = [type(w.exception()) for w in work]
    assert ended.count(Stopped) == 3
    assert len(one.asked) + len(two.asked) == 5


def test_too_many_requests_for_a_key_rest_all_its_servers() -> None:
    refused: list[float] = []

    def script(asked: str, before: int) -> str:
        if refused:
            return ""
        refused.append(time.monotonic())
        return "status 429 1"

    with serving(script, key=KEY) as one, serving(script, key=KEY) as two:
        fleet = Fleet([one.url, two.url], KEY, Speed(in_flight=1))
        assert [ask(fleet, i) for i in range(3)] == [f"summary of {i}" for i in range(3)]
    asked = sorted(at for at, _ in (*one.asked, *two.asked))
    assert len(asked) == 4
    assert asked[1] - refused[0] >= 0.95


def test_a_busy_server_rests_alone() -> None:
    with serving(lambda asked, before: "status 503 30") as busy, serving(lambda asked, before: "") as free:
        fleet = Fleet([busy.url, free.url], KEY, Speed(in_flight=1))
        assert [ask(fleet, i) for i in range(6)] == [f"summary of {i}" for i in range(6)]
        assert fleet.state() == "1 of 2 servers"
    assert len(busy.asked) == 1


def test_a_server_without_this_model_is_skipped_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda asked, before: "status 404") as wrong, serving(lambda asked, before: "") as right:
        fleet = Fleet([wrong.url, right.url], "", Speed(in_flight=1))
        assert [ask(fleet, i) for i in range(4)] == [f"summary of {i}" for i in range(4)]
    assert len(wrong.asked) == 1
    assert f"left out: {wrong.url} refuses the request (status 404): no" in capsys.readouterr().out


def test_a_request_that_waits_to_be_asked_again_keeps_no_other_from_being_asked() -> None:
    with serving(lambda asked, before: "status 500 300" if "number 0 " in asked else "") as server:
        fleet = Fleet([server.url], "", Speed(in_flight=1))
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(ask, fleet, 0)
            wait_for("the first request", lambda: len(server.asked) == 1)
            other = pool.submit(ask, fleet, 1)
            wait_for("the answer to the other", other.done)
            fleet.stop.set()
            assert isinstance(waiting.exception(), Stopped)
    assert other.result() == "summary of 1"


def test_when_no_server_is_left_the_last_one_says_why() -> None:
    with serving(lambda asked, before: "status 404") as one, serving(lambda asked, before: "status 401") as two:
        with pytest.raises(ModelError, match=r"refuses the (request|key)"):
            ask(Fleet([one.url, two.url], "", Speed()), 0)
        assert (len(one.asked), len(two.asked)) == (1, 1)
    # Both are closed now.
    with pytest.raises(ModelSkipped, match="not reachable"):
        ask(Fleet([one.url, two.url], "", Speed(attempts=2)), 0)


def test_servers_named_in_the_environment_may_change_between_two_calls_of_a_run(tmp_path: Path) -> None:
    write(tmp_path, "MY_FLEET", n=6)
    screen(tmp_path)
    assert "MY_FLEET, which is not set" in rows(tmp_path, "select reason from runs")[0][0]

    def call(*servers: Faulty) -> subprocess.CompletedProcess[str]:
        env = environment(ATTEMPTS="1", IN_FLIGHT="1") | {"MY_FLEET": ", ".join(s.url for s in servers)}
        return subprocess.run(
            command(), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1800, check=False
        )

    with serving(lambda asked, before: "status 404" if "number 3 " in asked else "") as one:
        call(one)
        kept = len(stored(tmp_path))
        assert 0 < kept < 6
        with serving(lambda asked, before: "") as two:
            done = call(two)
            assert done.returncode == 0, done.stdout + done.stderr
    assert stored(tmp_path) == expected(6)
    assert len(two.asked) == 6 - kept
    assert rows(tmp_path, "select count(*), max(status) from runs") == [(1, "done")]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ([], "must name a server"),
        (["http://a/v1", "a/v1"], "must begin with http"),
        (["http://a/v1", "http://me:secret@b/v1"], "no password"),
        (["http://a/v1", "http://a/v1/"], "the same server twice"),
    ],
)
def test_a_list_of_servers_is_checked_and_not_repeated(url: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        ServerOptions(url=url)
    assert "secret" not in str(caught.value)


def test_addresses_in_the_environment_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ServerOptions(url="MY_FLEET")
    monkeypatch.setenv("MY_FLEET", "http://a/v1,http://b/v1  http://c/v1")
    assert options.addresses() == ("http://a/v1", "http://b/v1", "http://c/v1")
    monkeypatch.setenv("MY_FLEET", "a:8000")
    with pytest.raises(ModelError, match="MY_FLEET: url must begin with"):
        options.addresses()
