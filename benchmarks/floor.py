"""The floor of a read: an ASGI application that answers every request with the same bytes, under the service's own server."""

import os
from pathlib import Path
from typing import Any

import msgspec

from cli.server.http import serve
from cli.settings import Settings

ANSWER = "BENCH_ANSWER"  # the file that holds it


class Fixed(msgspec.Struct, frozen=True):
    """An answer with all its headers."""

    headers: list[tuple[str, str]]
    body: bytes


def app() -> Any:
    """The application; it reads the answer once."""
    fixed = msgspec.json.decode(Path(os.environ[ANSWER]).read_bytes(), type=Fixed)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fixed.headers]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    body = {"type": "http.response.body", "body": fixed.body, "more_body": False}

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        await send(start)
        await send(body)

    return answer


if __name__ == "__main__":
    serve(Settings.from_env(os.environ), "benchmarks.floor:app")
