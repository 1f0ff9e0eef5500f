"""An event stream as the standard reads it, which is how browsers do.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from collections.abc import Callable
from typing import Any

import httpx


class EventStream:
    """``dispatched`` are the events: their type, their JSON, and the id when they came."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        self.dispatched: list[tuple[str, Any, str]] = []
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._lines = answer.aiter_lines()
        self._id = self._type = ""
        self._data: list[str] = []

    async def reads_until(self, is_enough: Callable[[], bool]) -> None:
        """Raises EOFError when the stream ends before."""
        while not is_enough():
            try:
                self._take(await anext(self._lines))
            except StopAsyncIteration:
                raise EOFError from None

    async def moves_to(self, position: int) -> None:
        """Read until one that connects again would go on from there, or from behind it."""
        await self.reads_until(lambda: int(self.last_event_id or 0) >= position)

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            self._end_message()
        elif not name:
            self.comments += 1
        elif name == "id":
            self._id = value
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry":
            self.retry = int(value)

    def _end_message(self) -> None:
        self.last_event_id = self._id
        if self._data:
            self.dispatched.append(
                (self._type or "message", json.loads("\n".join(self._data)), self.last_event_id)
            )
        self._type, self._data = "", []
