"""The processes of this host that serve: each leaves its number in a shared folder, and a scrape of any of them looks at all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")  # a second
PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes
# Fields of /proc/PID/stat behind the name of the program, which may hold anything.
USER_TIME, SYSTEM_TIME, STARTED, RESIDENT = 11, 12, 19, 21


class Figures(NamedTuple):
    """Of one process: CPU in seconds, memory in bytes, and when it started, in seconds since 1970."""

    role: str
    pid: int
    cpu: float
    resident: int
    open_files: int
    started_at: float


def announce(folder: Path, role: str) -> None:
    """Leave an empty file in ``folder`` that names this process; the time of its start tells it from a later one of its number.

    On a disk that has no room for it the process serves without being shown.
    """
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{role}-{os.getpid()}-{_stat(os.getpid())[STARTED]}").touch()


def living(folder: Path) -> Iterator[Figures]:
    """The processes that have announced themselves and still run; the files of others are removed."""
    for file in sorted(folder.glob("*-*-*")):
        role, pid, started = file.name.split("-")
        try:
            stat = _stat(int(pid))
            if stat[STARTED] != started:
                raise ProcessLookupError(pid)
            yield Figures(
                role=role,
                pid=int(pid),
                cpu=(int(stat[USER_TIME]) + int(stat[SYSTEM_TIME])) / TICKS,
                resident=int(stat[RESIDENT]) * PAGE,
                open_files=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - only how many
                started_at=_booted_at() + int(stat[STARTED]) / TICKS,
            )
        except (FileNotFoundError, ProcessLookupError):
            with suppress(OSError):
                file.unlink()
        except PermissionError:
            continue  # of another user


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@cache
def _booted_at() -> int:
    return int(Path("/proc/stat").read_text().partition("\nbtime ")[2].split()[0])
