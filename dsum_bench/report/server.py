"""The report served on the loopback address from the live database, and the blind vote. Needs Starlette and uvicorn.

A page that lies on this machine's own address is within reach of every page that its browser has open, so: the Host
header must be ours (no DNS rebinding), a request that another origin causes is refused, and the address holds a token
that nobody can guess. Nothing but a vote is ever written.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError
from dsum_bench.report.live import LiveState
from dsum_bench.report.votes import VOTER, Ballot

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
REST = 5.0
SHARE = 0.05
"""Making a page reads the whole database. There are at least REST seconds between two, and they take no more than this
share of a processor: what is being watched needs the processor."""

MOST = 10_000
"""Bytes of a vote."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(slots=True)
class LivePage:
    """The report of a database that changes: made anew when there are new results, and not too often."""

    path: Path
    live: LiveState
    clock: Callable[[], float] = monotonic
    worked: Callable[[], float] = thread_time
    _lock: Lock = field(default_factory=Lock)
    _page: str = ""
    _stamp: str | None = None
    _next: float = float("-inf")

    def state(self) -> dict[str, Any]:
        """What ``LiveState`` tells, with the stamp that the page would have now: it asks anew when that changes."""
        told = self.live.state()
        return told | {"stamp": self._stamp} if self._stamp is not None and self.clock() < self._next else told

    def page(self) -> str:
        """The page; many who ask at once wait for one."""
        with self._lock:
            stamp = self.live.state()["stamp"]
            if stamp != self._stamp and self.clock() >= self._next:
                start = self.worked()
                self._page, self._stamp = self._made(stamp), stamp
                self._next = self.clock() + max(REST, (self.worked() - start) / SHARE)
            return self._page

    def _made(self, stamp: str) -> str:
        from dsum_bench.report import made_now
        from dsum_bench.report.content import Content, gather
        from dsum_bench.report.page import render

        try:
            content = gather(self.path)
        except UserError:
            content = Content((), (), (), {}, ())  # the first run has only just begun
        return render(content, made_now(), live=stamp)


def make_app(database: Path, token: str, port: int, ballot: Ballot | None = None) -> Starlette:
    """The application. token: what its addresses begin with. ballot: a vote instead of the report."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    report = LivePage(database, LiveState(database))

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        origin = request.headers.get("origin")
        foreign = origin is not None and origin not in {f"http://{host}" for host in hosts}
        if request.headers.get("host") not in hosts:
            response: Response = PlainTextResponse("this address is served under its own name only", 421)
        elif foreign or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            response = PlainTextResponse("another page may not ask here", 403)
        else:
            response = await answer(request)
        response.headers.update(HEADERS)
        return response

    async def page(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(report.page))

    async def state(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(report.state))

    async def vote_page(request: Request) -> Response:
        from dsum_bench.report.page import render_vote

        return HTMLResponse(render_vote())

    async def question(request: Request) -> Response:
        voter = request.query_params.get("voter", "")
        if ballot is None or not VOTER.fullmatch(voter):
            return PlainTextResponse("a name is needed", 400)
        return JSONResponse(await run_in_threadpool(ballot.next, voter))

    async def vote(request: Request) -> Response:
        body = await request.body() if int(request.headers.get("content-length", MOST)) < MOST else b""
        try:
            told = _vote(body)
        except ValueError:
            return PlainTextResponse("not a vote", 400)
        if ballot is None or request.headers.get("content-type") != "application/json":
            return PlainTextResponse("not a vote", 400)
        try:
            await run_in_threadpool(ballot.vote, *told)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        return JSONResponse(await run_in_threadpool(ballot.next, told[0]))

    routes = [Route(f"/{token}/", page), Route(f"/{token}/live", state)]
    if ballot is not None:
        routes = [
            Route(f"/{token}/", vote_page),
            Route(f"/{token}/next", question),
            Route(f"/{token}/vote", vote, methods=["POST"]),
        ]
    app = Starlette(routes=routes)
    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)
    return app


def _vote(body: bytes) -> tuple[str, int, str]:
    import json

    told: Any = json.loads(body)
    if not isinstance(told, dict):
        raise ValueError("not a vote")
    voter, item, choice = told.get("voter"), told.get("item"), told.get("choice")
    if not (isinstance(voter, str) and isinstance(item, int) and isinstance(choice, str)):
        raise ValueError("not a vote")
    return voter, item, choice


def serve(database: Path, port: int = 0, ballot: Ballot | None = None, told: Callable[[str], None] = print) -> None:
    """Serve until interrupted. port: 0 takes a free one. told: hears the address once it answers.

    Raises:
        UserError: Starlette or uvicorn is missing, or the port is taken.
    """
    try:
        import starlette  # noqa: F401 (asked for here, so that the advice comes before anything else)
        import uvicorn
    except ImportError:
        raise UserError("view needs Starlette and uvicorn: pip install 'dsum-bench[view]'") from None
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise UserError(f"port {port} cannot be used ({error.strerror}): choose another --port") from None
    with listening:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(16)
        config = uvicorn.Config(make_app(database, token, port, ballot), log_level="warning", access_log=False)
        told(f"http://{HOST}:{port}/{token}/")
        try:
            uvicorn.Server(config).run([listening])
        except KeyboardInterrupt:
            return
