"""The API processes: ``python -m cli.http`` is their master, started and ended by `skald serve`."""

import os
from pathlib import Path

from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from cli.settings import Settings

MASTER = "SKALD_API_MASTER"  # internal: tells the API processes whom to die with
ROOT = Path(__file__).parent.parent

# How many connections the kernel holds for us while all processes are busy.
BACKLOG = 2048
# Connections one process serves at once, idle keep-alive ones included, so far above the work in flight: that is
# bounded by the pool of database connections and the appender's queue, which answer 503 when full.
CONNECTIONS = 4096
# Seconds that an API process may take to finish its requests when told to stop.
GRACE = 10


def serve(settings: Settings, target: str) -> None:
    """Serve the application that the factory ``target`` (``module:function``) makes, until a signal ends it."""
    os.environ[MASTER] = str(os.getpid())
    Server(
        target=target,
        factory=True,
        # Not the current folder: what lies there must not be imported in place of ours.
        working_dir=ROOT,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        log_level=LogLevels.warning,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE,
    ).serve()


def main() -> None:
    serve(Settings.from_env(os.environ), "cli.asgi:app")


if __name__ == "__main__":
    main()
