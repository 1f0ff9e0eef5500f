"""Child processes in the foreground: they die with this process, and stop on request."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

PDEATHSIG = Path(__file__).with_name("pdeathsig.py")


class User(NamedTuple):
    """A user of the operating system that a child runs as."""

    name: str
    uid: int
    gid: int


class Child:
    """One running child process. Start it from the main thread (see ``pdeathsig``)."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        output: IO[bytes] | None = None,
        on_parent_death: signal.Signals = signal.SIGKILL,
        cwd: Path | None = None,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "start child processes from the main thread: they die with the thread that starts them"
            )
        self.name = name
        uid, gid = (str(user.uid), str(user.gid)) if user else ("-", "-")
        pdeathsig = [
            sys.executable,
            "-I",
            "-S",
            str(PDEATHSIG),
            str(os.getpid()),
            str(int(on_parent_death)),
            uid,
            gid,
        ]
        # A session of its own: Ctrl-C in the terminal reaches only us, and we end the children in order.
        self._process = subprocess.Popen(
            [*pdeathsig, *map(str, command)],
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs, else its exit code (negative: the signal that ended it)."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """Whether it ended within ``timeout`` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float) -> None:
        """Ask it to end by ``number``; kill it after ``timeout`` seconds."""
        if self.exit_code() is not None:
            return
        self.send(number)
        if not self.wait(timeout):
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.exit_code() is None:
            self.send(signal.SIGKILL)
        self._process.wait()


def processes_in(folder: Path, program: str) -> list[int]:
    """The running instances of ``program`` whose working folder is ``folder``, as far as we may look."""
    target = str(folder.resolve())
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The kernel marks the file of a running program that was replaced on disk.
            running = (entry / "exe").readlink().name.removesuffix(" (deleted)")
            if running == program and str((entry / "cwd").readlink()) == target:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_until_gone(folder: Path, program: str, *, timeout: float) -> None:
    """Wait until no ``program`` works in ``folder``; end what is left after ``timeout`` seconds.

    A PostgreSQL server and all its backends work in their data folder. Call this only under the folder's lock:
    then whatever still runs there belongs to a parent that crashed, and is on its way out.
    """
    deadline = time.monotonic() + timeout
    while pids := processes_in(folder, program):
        if time.monotonic() > deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            deadline += timeout
        time.sleep(0.02)
