"""Which API process a connection went to: the kernel hands them out by chance, and a fair run has as many on each."""

import contextlib
import socket
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from benchmarks.load import connect, exchange, get

ATTEMPTS = 400  # connections to open before giving up; by chance alone, two processes need a handful for each


def processes_of(master: int) -> list[int]:
    """The children of a server's master."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == master:
                    found.append(int(entry.name))
    return sorted(found)


def spread(port: int, processes: list[int], each: int) -> list[list[socket.socket]]:
    """``each`` connections to every one of the processes, in their order. Raises RuntimeError when chance is against it."""
    kept: dict[int, list[socket.socket]] = {process: [] for process in processes}
    for _ in range(ATTEMPTS):
        if all(len(opened) == each for opened in kept.values()):
            return list(kept.values())
        opened = connect(port)
        process = _accepted_by(opened, port, processes)
        if process is not None and len(kept[process]) < each:
            kept[process].append(opened)
        else:
            opened.close()
    for one in chain.from_iterable(kept.values()):
        one.close()
    raise RuntimeError(f"{ATTEMPTS} connections did not give {each} to each of {len(processes)} processes")


def _accepted_by(opened: socket.socket, port: int, processes: list[int]) -> int | None:
    """The process that holds the other end, once it has answered a request on it."""
    exchange(opened, get("/healthz", ""))
    mine = opened.getsockname()[1]
    inode = next((number for number, local, remote in _table() if (local, remote) == (port, mine)), None)
    for process in processes if inode else ():
        with contextlib.suppress(OSError):
            for descriptor in (Path("/proc") / str(process) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return process
    return None


def _table() -> Iterator[tuple[str, int, int]]:
    """Inode, local and remote port of the TCP sockets of this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        yield fields[9], int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)
