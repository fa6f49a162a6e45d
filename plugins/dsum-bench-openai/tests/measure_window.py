"""Samples a second with 1 and with 16 requests in flight: against a server without a model that takes 0.5 s to answer
each, and against transformers' own server, which answers many at once with SmolLM2-135M on the CPU."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from running import expected, rows, screen, stored, write
from server import serving
from test_openai import transformers_serve

MANY_AT_ONCE = ("--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "2048")


def waiting(in_flight: int) -> None:
    """The client's own limit."""
    with tempfile.TemporaryDirectory() as name, serving(lambda asked, before: "", delay=0.5) as server:
        write(Path(name), server.url, n=64)
        screen(Path(name), IN_FLIGHT=str(in_flight))
        times = [at for at, _ in server.asked]
        assert stored(Path(name)) == expected(64)
        tell(in_flight, 64, times[-1] - times[0] + server.delay)


def served(in_flight: int, url: str, model: str, n: int = 64) -> None:
    """What a server makes of it. The time is that of the whole command."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), url, n=n, model=model)
        start = time.perf_counter()
        limits = ("--set", "max_new_tokens=32", "--set", "min_new_tokens=0", "--prompt", "en-default")
        done = screen(Path(name), *limits, IN_FLIGHT=str(in_flight), TIMEOUT="300")
        tell(in_flight, n, time.perf_counter() - start)
        assert done.returncode == 0, done.stdout + done.stderr
        print(sum(count for (count,) in rows(Path(name), "select new_tokens from outputs")), "new tokens")


def tell(in_flight: int, n: int, seconds: float) -> None:
    print(f"{in_flight} in flight: {n} samples in {seconds:.1f} s, {n / seconds:.2f} a second", flush=True)


def main() -> None:
    """Without an argument the first server, with the folder of a model the second."""
    if len(sys.argv) == 1:
        for in_flight in (1, 16):
            waiting(in_flight)
        return
    with transformers_serve(Path(sys.argv[1]), *MANY_AT_ONCE) as url:
        served(16, url, sys.argv[1], n=2)  # the server loads its model at the first request
        for in_flight in (1, 16):
            served(in_flight, url, sys.argv[1])


if __name__ == "__main__":
    main()
