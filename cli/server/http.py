"""The API processes: ``python -m cli.server.http`` is their master, started and ended by `skald serve`.

The master loads the application's code once and forks, so that its processes share what was loaded, start at once, and
need no time to be replaced. They share the port as well: each listens on a socket of its own (SO_REUSEPORT), and the
kernel hands out the connections.
"""

import gc
import importlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from api.fast.protocol import Protocol
from api.server.logs import set_up_logging
from cli.errors import Failure
from cli.process.pdeathsig import die_with_parent
from cli.process.supervisor import Part, tell
from cli.settings import Settings

# How many connections the kernel holds for a process while it is busy.
BACKLOG = 2048
# Seconds that an idle connection is kept: above the minute that proxies and clients keep theirs, so that they close first.
KEEP_ALIVE = 75
# Seconds that an API process may take to finish its requests after SIGTERM.
GRACE = 10
WATCH_EVERY = 0.1  # seconds between two looks at the processes

Factory = Callable[[], Any]
fork = multiprocessing.get_context("fork")


class Process:
    """One API process, forked from the calling (main) thread."""

    def __init__(self, factory: Factory, settings: Settings) -> None:
        self._process = fork.Process(target=_run, args=(factory, settings, os.getpid()), name="API")
        self._process.start()

    def exit_code(self) -> int | None:
        return self._process.exitcode

    def stop(self) -> None:
        self._process.terminate()

    def end(self, timeout: float) -> None:
        """Wait until it has ended; kill it after ``timeout`` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()


def serve(settings: Settings, target: str) -> None:
    """Serve the application that the factory ``target`` (``module:function``) makes, until a signal ends it."""
    module, _, name = target.partition(":")
    factory: Factory = getattr(importlib.import_module(module), name)
    # What is loaded by now stays as it is, so the processes never copy it.
    gc.collect()
    gc.freeze()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    processes: dict[int, Process] = {}

    def start(number: int) -> Process:
        processes[number] = Process(factory, settings)
        return processes[number]

    parts = [Part("an API process", partial(start, number)) for number in range(settings.workers)]
    for part in parts:
        part.start()
    while not stop.wait(WATCH_EVERY):
        if all(process.exit_code() == STARTUP_FAILURE for process in processes.values()):
            # The supervisor decides whether to try again; a process that cannot start says why in its log. While others
            # serve, they go on, and it is tried again here.
            break
        for part in parts:
            part.watch()
    for process in processes.values():
        process.stop()
    for process in processes.values():
        process.end(timeout=GRACE + 2)
    if not stop.is_set():
        sys.exit(STARTUP_FAILURE)


def _run(factory: Factory, settings: Settings, master: int) -> None:
    """Run an API process; it dies with its master."""
    die_with_parent(signal.SIGKILL, master)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    set_up_logging(settings.log_level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        uvicorn.Server(server_config(factory)).run(sockets=[listener(settings.host, settings.port)])
    except Failure as failure:
        tell(str(failure))
        sys.exit(STARTUP_FAILURE)


# RESULTS.md: "uvicorn with httptools in forked processes"
def server_config(factory: Factory) -> uvicorn.Config:
    """How the application that ``factory`` makes is served."""
    return uvicorn.Config(
        factory,
        factory=True,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Which proxies are believed is a setting of our own, see ``api.http.proxies``.
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )


def listener(host: str, port: int) -> socket.socket:
    """A socket of this process on the address that all of them share; answers leave it at once (TCP_NODELAY)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Connections inherit it; without it an answer in two parts waits for the client's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind(address)
    return sock


def main() -> None:
    serve(Settings.from_env(os.environ), "cli.server.asgi:app")


if __name__ == "__main__":
    main()
