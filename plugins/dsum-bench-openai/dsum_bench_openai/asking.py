"""One request to one server and what came of it. Nothing here lets the key out: not in a text, not in a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any
from urllib.parse import quote

from dsum_bench import ModelError, ModelSkipped
from dsum_bench_openai.reading import (
    BAD_KEY,
    MODERATED,
    NO_CREDIT,
    Answer,
    ErrorInside,
    Passing,
    Unreadable,
    error_words,
    read,
)

LARGEST = 2 * 1024 * 1024
"""Bytes of an answer that are read at most; 32,000 tokens of Korean, escaped, take about 600,000."""
LONGEST_WORDS = 300
SECRET = 8
"""Characters from which a key counts as secret; 'EMPTY', which local servers are given, may stand in any text."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed. A completion changes nothing, so a second one is safe."""
OF_THE_SAMPLE = frozenset({400, 413, 422})
"""Statuses that refuse what was asked, such as a dialogue that is too long."""
PATHS = {"chat": "/chat/completions", "completion": "/completions"}
KEY_REPEATED = "the server repeats the key; it was taken out of the answer"


class Server:
    """Asks one server, each request once. Safe to use from several threads.

    Args:
        key: sent as a bearer token, to url and nowhere else (no redirect is followed); '' sends none.
        timeout: seconds until the server must have begun to answer, and within which a begun answer must be whole.
        in_flight: requests at once.
    """

    def __init__(self, url: str, key: str, timeout: float, in_flight: int) -> None:
        import httpx2

        self.url = url.rstrip("/")
        self.key = key
        self.timeout = timeout
        headers = {"accept-encoding": "identity", "user-agent": "dsum-bench"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        self.client = httpx2.Client(
            headers=headers, timeout=timeout, limits=httpx2.Limits(max_connections=in_flight), follow_redirects=False
        )

    def once(self, endpoint: str, body: Mapping[str, Any], limit: int) -> Answer:
        """The answer to one request. One that the server will never answer otherwise is an Answer, ``refused``.

        Raises:
            Passing: it may be answered later, or by another server. Unreadable: it was answered with nonsense.
            ModelError, ModelSkipped: this server will answer none of these requests.
        """
        status, headers, content = self._post(PATHS[endpoint], body)
        try:
            if status != 200:
                raise self._inside(content, status)
            return self._clean_answer(read(content, endpoint, limit))
        except ErrorInside as error:
            return self._refusal(error, status, headers)

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx2

        late = f"no whole answer within {self.timeout:g} s"
        until = monotonic() + self.timeout
        content = bytearray()
        try:
            with self.client.stream("POST", self.url + path, json=body) as reply:
                for chunk in reply.iter_bytes():
                    content += chunk
                    if len(content) > LARGEST:
                        raise Unreadable(f"its answer is larger than {LARGEST // 1024 // 1024} MB")
                    if monotonic() > until:
                        raise Passing(late, silent=True)
        except (httpx2.ConnectTimeout, httpx2.ConnectError) as error:
            raise Passing(f"not reachable ({self._clean(error)})", rest="server", reached=False) from None
        except httpx2.TimeoutException:
            raise Passing(late, silent=True) from None
        except httpx2.TransportError as error:
            raise Passing(f"the connection broke ({self._clean(error)})", reached=False) from None
        except httpx2.DecodingError:
            raise Passing("its answer cannot be decoded") from None
        return reply.status_code, reply.headers, bytes(content)

    @staticmethod
    def _inside(content: bytes, status: int) -> ErrorInside:
        try:
            code, _, message = error_words(json.loads(content))
        except (ValueError, RecursionError):
            code, message = "", content.decode("utf-8", "replace").strip() or "no words"
        return ErrorInside(status, code, message)

    def _refusal(self, error: ErrorInside, status: int, headers: Mapping[str, str]) -> Answer:
        """A refusal of this sample as an Answer; raises what concerns the time, the server or the account."""
        said = self._clean(error)
        told = error.status
        shown = f"status {told}" if told == status else f"an error in status {status}"
        wait = retry_after(headers.get("retry-after"))
        spent = bool(NO_CREDIT.search(f"{error.code} {error}")) and wait is None
        if told == 402 or (spent and told in (0, 403, 429)):
            raise ModelSkipped(f"{self.url}: the account has no credit left ({said})")
        if told in AGAIN or told == 0:
            rest = {429: "key", 503: "server", 529: "server"}.get(told, "none")
            raise Passing(f"{shown} ({said})", wait, rest)
        about_key = bool(BAD_KEY.search(f"{error.code} {error}"))
        if (told in OF_THE_SAMPLE and not about_key) or (told == 403 and MODERATED.search(f"{error.code} {error}")):
            return Answer("", "refused", note=f"{shown}: {said}")
        if told in (401, 403) or about_key:
            raise ModelError(f"{self.url} refuses the key ({shown}): {said}")
        if 300 <= told < 400:
            raise ModelError(f"{self.url} sends requests elsewhere ({shown}): write the right address into url")
        raise ModelError(f"{self.url} refuses the request ({shown}): {said}")

    def _clean_answer(self, answer: Answer) -> Answer:
        text, note, model = (self._without_key(t) for t in (answer.text, answer.note, answer.model))
        if text != answer.text:
            note = f"{note}; {KEY_REPEATED}" if note else KEY_REPEATED
        return replace(answer, text=text, note=" ".join(note.split())[:LONGEST_WORDS], model=model[:LONGEST_WORDS])

    def _clean(self, what: object) -> str:
        """The words of an error on one line, not too many, without the key: some servers repeat it."""
        text = self._without_key(str(what) or type(what).__name__)
        return " ".join(text.split())[:LONGEST_WORDS]

    def _without_key(self, text: str) -> str:
        if len(self.key) >= SECRET:
            for form in {self.key, quote(self.key, safe="")}:
                text = text.replace(form, "[key]")
        return text


def retry_after(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, 10.2.3); None when unreadable."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError):
        return None
