"""Samples a second with 1 and with 16 requests in flight, against a server that takes 0.5 s to answer each."""

from __future__ import annotations

import tempfile
from pathlib import Path

from server import serving
from test_openai import expected, screen, stored, write


def main() -> None:
    for in_flight in (1, 16):
        with tempfile.TemporaryDirectory() as name, serving(lambda asked, before: "", delay=0.5) as server:
            write(Path(name), server.url, n=64)
            screen(Path(name), IN_FLIGHT=str(in_flight))
            times = [at for at, _ in server.asked]
            assert stored(Path(name)) == expected(64)
            seconds = times[-1] - times[0] + server.delay
            print(f"{in_flight} in flight: 64 samples in {seconds:.1f} s, {64 / seconds:.1f} a second")


if __name__ == "__main__":
    main()
