"""Reading a Git repository by plumbing commands, which run nothing that the repository configures."""

import os
import posixpath
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from cli.errors import Failure
from cli.output import printable

CLONE_TIMEOUT = 3600.0  # seconds; a large repository over a slow line
READ_TIMEOUT = 600.0  # seconds of one listing
LOOK = 0.2  # seconds between looks at how large a copy has become
MAX_COPY = 1000  # MB of a copy, unless said otherwise: what a registry of skills has, many times
MAX_BLOB = 2 * 2**20  # bytes of a file that is copied: no skill has a larger one
MAX_LISTING = 128 * 2**20  # bytes of one listing: a million paths
MAX_PATH = 2**20  # bytes of a path, which a tree may make as long as it likes
CHUNK = 1 << 16
MAX_ERROR = 500  # characters of what Git says

# An address with a user in it holds a secret.
USERINFO = re.compile(r"//[^/@\s]*@")
SCHEME = re.compile(r"(?:https?|ssh|git|file)://|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:", re.ASCII)

SAFE = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
    *("-c", "http.followRedirects=false", "-c", "submodule.recurse=false"),
    *("-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=60"),
)
NO_ENV: Mapping[str, str] = {}
# A transport such as ext:: runs a program that the address names.
TRANSPORTS = "https:http:ssh:git:file"


class Entry(NamedTuple):
    """What a tree has at ``path``."""

    mode: str
    oid: str
    size: int
    path: str


class Commit(NamedTuple):
    author: str
    mail: str
    seconds: int
    message: str


class Repository:
    """One that is on this machine, or a copy of one that is elsewhere. Used by several threads; close it."""

    def __init__(self, place: str, *, every_branch: bool = True, most: int = MAX_COPY) -> None:
        self.title = USERINFO.sub("//", place)
        self._copy: str | None = None
        self._repository: str | None = None
        self._batch: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        shown = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        kept = {name: os.environ[name] for name in ("GIT_SSH", "GIT_SSH_COMMAND") if name in os.environ}
        self._env = {
            **shown,
            **kept,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            # What is on this machine is read without any, whatever it configures.
            "GIT_ALLOW_PROTOCOL": "none",
        }
        if shutil.which("git") is None:
            raise Failure("this needs the command git", code="usage")
        if place.startswith("-"):
            raise Failure(
                f"{printable(place)} is no repository; write ./{printable(place)} for a folder", code="usage"
            )
        if SCHEME.match(place):
            self._copy = tempfile.mkdtemp(prefix="skald-import-")
            try:
                self._clone(place, every_branch, most)
            except BaseException:
                self.close()
                raise
        elif not Path(place).is_dir():
            raise Failure(f"{printable(place)} is no folder, and no address of a repository", code="usage")
        self._place = ("-C", self._repository or place)

    def close(self) -> None:
        if self._batch is not None:
            self._batch.kill()
            self._batch.communicate()
            self._batch = None
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)

    def commit_of(self, name: str) -> str:
        """The id of the commit that a branch, a tag or HEAD means. Raises Failure."""
        return (
            self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            .decode()
            .strip()
        )

    def paths(self, commit: str) -> Iterator[str]:
        """Every path of a commit; one that is no UTF-8 is left out."""
        with self._popen("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit) as process:
            assert process.stdout is not None
            left = b""
            while data := process.stdout.read(CHUNK):
                *whole, left = (left + data).split(b"\0")
                if len(left) > MAX_PATH:
                    raise Failure(
                        f"{self.title} has a path of more than {MAX_PATH:,} bytes", code="git_failed"
                    )
                for path in whole:
                    try:
                        yield path.decode()
                    except UnicodeDecodeError:
                        continue

    def entries(self, commit: str, folder: str) -> list[Entry]:
        """The files below a folder, with their paths in it. Raises Failure."""
        found = []
        for line in self._ask("ls-tree", "-r", "-z", "-l", f"{commit}:{folder}").split(b"\0")[:-1]:
            head, _, path = line.partition(b"\t")
            mode, _, oid, size = head.decode().split()
            # A file that was too large to be copied has no size that Git could tell.
            bytes_ = int(size) if size.isdigit() else MAX_BLOB + 1 if size == "BAD" else 0
            found.append(Entry(mode, oid, bytes_, path.decode("utf-8", "backslashreplace")))
        return found

    def changes(self, commit: str, folder: str, most: int) -> dict[str, tuple[str, ...]]:
        """The newest commits that changed a folder, each with those of them that come before it; newest first."""
        path = f"{folder}/" if folder else "."
        lines = self._ask("rev-list", "--parents", "--topo-order", f"--max-count={most}", commit, "--", path)
        rows = (line.split() for line in lines.decode().splitlines())
        return {row[0]: tuple(row[1:]) for row in rows}

    def moved_from(self, commit: str, path: str) -> tuple[str, str] | None:
        """The parent, and where the file was there that a commit moved to ``path``; None when it did not move it."""
        parents = self._ask("rev-list", "--parents", "--max-count=1", commit).decode().split()[1:]
        if not parents:
            return None
        arguments = ("-r", "-z", "-M", "--diff-filter=R", parents[0], commit, "--")
        # Only what may be the same file: a commit may move more than can be compared.
        only = f":(glob,icase)**/{posixpath.basename(path)}"
        env = {"GIT_LITERAL_PATHSPECS": "0"}
        found = self._ask("diff-tree", *arguments, only, env=env).split(b"\0")
        for at in range(0, len(found) - 2, 3):
            if found[at + 2] == path.encode():
                return parents[0], found[at + 1].decode("utf-8", "backslashreplace")
        return None

    def commit(self, oid: str) -> Commit:
        """Author, time and message. Raises Failure."""
        data = self.read(oid, 1 << 20) or b""
        head, _, message = data.partition(b"\n\n")
        found = re.search(rb"^author (.*?) ?<([^>\n]*)> (-?\d{1,15})", head, re.MULTILINE)
        author, mail, seconds = found.groups() if found else (b"", b"", b"0")
        said = re.search(rb"^encoding (\S{1,40})$", head, re.MULTILINE)
        try:
            text = message.decode(said[1].decode("ascii", "replace") if said else "utf-8", "replace")
        except LookupError:
            text = message.decode("utf-8", "replace")
        return Commit(author.decode("utf-8", "replace"), mail.decode("utf-8", "replace"), int(seconds), text)

    def read(self, name: str, most: int) -> bytes | None:
        """The content of an object by its id or ``COMMIT:PATH``; None when there is none, or more than ``most`` bytes."""
        if "\n" in name:
            return None
        with self._lock:
            if self._batch is None:
                self._batch = self._popen("cat-file", "--batch")
            assert self._batch.stdin is not None
            assert self._batch.stdout is not None
            self._batch.stdin.write(name.encode() + b"\n")
            self._batch.stdin.flush()
            head = self._batch.stdout.readline()
            if not head:
                raise Failure(f"{self.title} cannot be read", code="git_failed")
            if not re.fullmatch(rb"[0-9a-f]{40,64} \w+ \d+\n", head):
                return None  # missing, or ambiguous
            size = int(head.split()[2])
            kept, left = bytearray(), size + 1
            while left:
                data = self._batch.stdout.read(min(left, CHUNK))
                if not data:
                    raise Failure(f"{self.title} cannot be read", code="git_failed")
                left -= len(data)
                if size <= most:
                    kept += data
        return bytes(kept[:-1]) if size <= most else None

    def _popen(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["git", *SAFE, *self._place, *arguments],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _clone(self, place: str, every_branch: bool, most: int) -> None:
        """Copy what is elsewhere, with no file that no skill can have. Raises Failure."""
        assert self._copy is not None
        self._repository = f"{self._copy}/repository"
        branches = () if every_branch else ("--single-branch", "--no-tags")
        arguments = (*branches, "--bare", "--quiet", "--template=", f"--filter=blob:limit={MAX_BLOB}")
        deadline = time.monotonic() + CLONE_TIMEOUT
        with Path(self._copy, "said").open("w+b") as said:
            process = subprocess.Popen(
                ["git", *SAFE, "clone", *arguments, "--", place, self._repository],
                env={**self._env, "GIT_ALLOW_PROTOCOL": TRANSPORTS},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,  # with what it starts, it is ended together
            )
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
                    if _size(self._copy) > most * 10**6:
                        raise Failure(
                            f"{self.title} is larger than {most:,} MB; --max-size allows more",
                            code="too_large",
                        )
                    if time.monotonic() > deadline:
                        raise Failure(f"{self.title}: Git takes too long", code="git_failed")
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._check(process.returncode, said)
        # Without what is too large it is whole: what is missing is missing, and is not asked for.
        for name in ("promisor", "partialclonefilter"):
            with suppress(Failure):
                self._ask("-C", self._repository, "config", "--unset", f"remote.origin.{name}", at=())

    def _ask(
        self, *arguments: str, at: tuple[str, ...] | None = None, env: Mapping[str, str] = NO_ENV
    ) -> bytes:
        """What a command says that reads the repository. Raises Failure."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                ["git", *SAFE, *(self._place if at is None else at), *arguments],
                env={**self._env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )
            assert process.stdout is not None
            timer = threading.Timer(READ_TIMEOUT, process.kill)
            timer.start()
            with process:
                try:
                    data = process.stdout.read(MAX_LISTING + 1)
                finally:
                    late = not timer.is_alive()
                    timer.cancel()
                    process.stdout.close()  # which ends what has more to say
            if len(data) > MAX_LISTING:
                raise Failure(f"{self.title} has more than can be read of it", code="too_large")
            if late:
                raise Failure(f"{self.title}: Git takes too long", code="git_failed")
            self._check(process.returncode, said)
        return data

    def _check(self, code: int, said: IO[bytes]) -> None:
        """Raises Failure with the end of what Git said."""
        if code:
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4 * MAX_ERROR))
            text = " ".join(said.read().decode("utf-8", "replace").split())[-MAX_ERROR:]
            raise Failure(
                printable(f"{self.title}: {USERINFO.sub('//', text) or 'it has no such commit or folder'}"),
                code="git_failed",
            )


def _size(folder: str) -> int:
    """Bytes of all files below a folder that another process writes to."""
    size = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                size += Path(place, file).lstat().st_size
    return size
