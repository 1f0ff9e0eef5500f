"""`skald` commands, each a process with streams, environment, folder and exit code of its own, that starts at once.

Most of a short command is the start of Python and the import of what others wrote. So one process of this test process has
imported what the commands need, apart from the commands themselves (``cli``), and forks for each of them.
"""

import contextlib
import functools
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from tests.support.servers import ROOT, SKALD

# What `cli` imports, and what that imports later than at its start.
IMPORTED = (
    *("asyncio", "click", "email.message", "getpass", "msgspec.json", "msgspec.toml", "rich.console", "rich.table", "zipfile"),
    *("domain.artifacts.kinds", "domain.formats.archives", "domain.formats.skill_md", "domain.keys", "domain.shares"),
    *("psycopg", "psycopg_pool", "redis.asyncio", "store.log.log", "store.postgres.pool", "store.tables.identity"),
    *("projections.rebuild.verify", "projections.search.find"),
)  # fmt: skip
# The interpreter looks at these when it starts.
AT_THE_START = ("PYTHON", "LC_", "LANG")


class Command(msgspec.Struct):
    arguments: Sequence[str]
    env: Mapping[str, str]
    cwd: str


def run(
    *arguments: str, env: Mapping[str, str], cwd: Path = ROOT, stdin: str = "", timeout: float = 90
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end. Raises subprocess.TimeoutExpired, as ``subprocess.run``."""
    done = run_raw(*arguments, env=env, cwd=cwd, stdin=stdin, timeout=timeout)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_raw(
    *arguments: str, env: Mapping[str, str], cwd: Path = ROOT, stdin: str = "", timeout: float = 90
) -> "subprocess.CompletedProcess[bytes]":
    """The same, with what it prints as bytes."""
    if _started_with(env) != _started_with(os.environ):
        return subprocess.run(
            [*SKALD, *arguments], env=env, cwd=cwd, input=stdin.encode(), capture_output=True, timeout=timeout, check=False
        )  # fmt: skip
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack:
        stack.enter_context(ours)
        given, read, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        given.write(msgspec.json.encode(Command(arguments, env, str(cwd))))
        read.write(stdin.encode())
        for file in (given, read):
            file.seek(0)
        with theirs:
            files = [file.fileno() for file in (given, read, out, err)]
            socket.send_fds(_parent(), [b"run"], [*files, theirs.fileno()])
        with ours.makefile("r") as answers:
            pid = int(answers.readline())
            ours.settimeout(timeout)
            try:
                status = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(
            [*SKALD, *arguments], os.waitstatus_to_exitcode(status), out.read(), err.read()
        )


def _started_with(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: text for name, text in env.items() if name.startswith(AT_THE_START) and name != "PYTHONPATH"
    }


@functools.cache
def _parent() -> socket.socket:
    """The process that forks: it ends when the last end of this socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands", str(theirs.fileno())],
            cwd=ROOT,
            env={name: text for name, text in os.environ.items() if not name.startswith("SKALD_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours


def serve(requests: socket.socket) -> None:
    """Fork for each request; returns in a process that is a command, which then runs it."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    importlib.import_module("httpx")
    for name in IMPORTED:
        importlib.import_module(name)
    # What is here stays: a command that ends has it neither looked through nor taken apart.
    gc.collect()
    gc.freeze()
    while True:
        _, descriptors, _, _ = socket.recv_fds(requests, 16, 8)
        if not descriptors:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            given, *streams, answers = descriptors
            pid = os.fork()
            if pid:
                _tell_of(pid, answers)
            with os.fdopen(given, "rb") as file:
                command = msgspec.json.decode(file.read(), type=Command)
            os.close(answers)
            _become(command, streams)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _tell_of(pid: int, answers: int) -> NoReturn:
    """Send the pid of a command, and later the status with which it has ended."""
    with contextlib.suppress(OSError):
        os.write(answers, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        os.write(answers, b"%d\n" % status)
    os._exit(0)


def _become(command: Command, streams: Sequence[int]) -> None:
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(command.env)
    os.chdir(command.cwd)
    sys.path[0] = command.cwd
    sys.path[1:1] = [path for path in command.env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv[1:] = command.arguments


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    # The process is that of a command now.
    runpy.run_module("cli.main", run_name="__main__", alter_sys=True)
