"""Messages between a worker and its parent: pickled, each with its length before it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from struct import Struct
from typing import Any

LENGTH = Struct("!Q")


def frame(message: Any) -> bytes:
    """A message as it is sent. Raises what pickle raises for an object that cannot be pickled."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


class Inbox:
    """Puts messages together from the bytes that arrive. What a process that died left unfinished stays unread."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes, and yield each message that is complete now, still pickled."""
        self._bytes += data
        while len(self._bytes) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[LENGTH.size : end])
            del self._bytes[:end]
            yield message
