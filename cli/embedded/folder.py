"""The data folder: its lock, where the embedded servers keep their data, and how other commands find them.

``lock``          held (flock) by the process that runs the servers; holds its pid
``server-home``   names the folder of the servers' data when that is not this folder
``servers.json``  the addresses of the running servers, for other commands; gone when they stop
``runtime-dir``   names the folder of the sockets when it is outside, for a start after a crash to remove
``first-key``     the key made at the first start
``secret-key``    what seals the secrets of webhooks in the embedded database
"""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import msgspec

from cli.errors import Failure
from cli.process.child import User

# struct sockaddr_un holds 107 bytes of path, and PostgreSQL adds "/.s.PGSQL.5432" to its folder.
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432") - 1
SHARED_HOME = Path("/var/lib/skald")


class FolderInUse(Failure):
    """Another process holds the data folder; ``pid`` is None when it is unknown."""

    code = "folder_in_use"

    def __init__(self, path: Path, pid: int | None) -> None:
        by = f"process {pid}" if pid else "another process"
        super().__init__(f"the data folder {path} is in use by {by}; stop it, or choose another --data-dir")
        self.pid = pid


class FolderError(Failure):
    """The data folder cannot be used; the message says why and what would help."""

    code = "folder_error"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What ``servers.json`` says: who runs the servers and where they are."""

    pid: int
    database_url: str
    redis_url: str


class DataFolder:
    """A data folder held by this process, from ``with`` or ``hold`` on."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: int | None = None

    @property
    def first_key(self) -> Path:
        return self.path / "first-key"

    def secret_key(self) -> tuple[str, ...]:
        """What seals secrets in this folder's database; nothing when it has not been made."""
        try:
            return (self._secret_key.read_text().strip(),)
        except FileNotFoundError:
            return ()

    def ensure_secret_key(self) -> tuple[str, ...]:
        """The same, made when it is missing. Call this under the folder's lock."""
        if not self._secret_key.exists():
            write_private(self._secret_key, f"{secrets.token_hex(32)}\n")
        return self.secret_key()

    @property
    def _secret_key(self) -> Path:
        return self.path / "secret-key"

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def hold(self) -> None:
        """Create the folder if needed and lock it. Raises FolderInUse, FolderError."""
        # As root the servers run as another user, who must be able to pass through (not to look into) the folder.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            if not self.path.is_dir():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.mkdir(mode=mode)
                self.path.chmod(mode)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(f"the data folder {self.path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise FolderInUse(self.path, int(text) if text.isdigit() else None) from None
        self._lock = lock
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            self._clear_crashed()
        except OSError as error:
            os.close(lock)
            self._lock = None
            raise FolderError(f"the data folder {self.path} cannot be written to: {error.strerror}") from None

    def release(self) -> None:
        if self._lock is not None:
            self.forget()
            os.close(self._lock)
            self._lock = None

    # The servers' own data ------------------------------------------------------------------------------------

    def server_home(self, user: User | None) -> Path:
        """The folder for the servers' data, 0700 and owned by ``user``; made at the first call.

        It is ``servers`` in the data folder, or, when ``user`` cannot reach that (a clone under /root), a folder
        under /var/lib/skald that the file ``server-home`` names.
        """
        note = self.path / "server-home"
        if note.exists():
            home = Path(note.read_text().strip())
            if not home.is_dir():
                raise FolderError(
                    f"{note} names {home}, which does not exist; the data of this folder was there"
                )
            return home
        home = self.path / "servers"
        if home.is_dir():
            return home
        if user is None or reachable(self.path, user):
            return _private_folder(home, user)
        home = SHARED_HOME / secrets.token_hex(6)
        shared_folder(SHARED_HOME)
        _private_folder(home, user)
        write_private(note, f"{home}\n")
        return home

    def runtime_dir(self, home: Path, user: User | None) -> Path:
        """A folder for sockets: 0700, owned by ``user``, with a path short enough for a socket address."""
        folder = home / "run"
        if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
            shutil.rmtree(folder, ignore_errors=True)
            return _private_folder(folder, user)
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        if user or not base or len(base) > LONGEST_SOCKET_FOLDER - 20 or not os.access(base, os.W_OK):
            base = "/tmp"  # noqa: S108 - a fresh folder with a random name, 0700
        made = Path(tempfile.mkdtemp(prefix="skald-", dir=base))
        write_private(self.path / "runtime-dir", f"{made}\n")
        if user:
            os.chown(made, user.uid, user.gid)
        return made

    # How other commands find the servers ----------------------------------------------------------------------

    def publish(self, running: Running) -> None:
        write_private(self.path / "servers.json", msgspec.json.encode(running).decode())

    def forget(self) -> None:
        (self.path / "servers.json").unlink(missing_ok=True)

    def running(self) -> Running | None:
        """The servers that some process runs on this folder right now, or None."""
        try:
            return msgspec.json.decode((self.path / "servers.json").read_bytes(), type=Running)
        except FileNotFoundError:
            return None

    def _clear_crashed(self) -> None:
        """Take away what a killed predecessor left: its address file and its socket folder."""
        self.forget()
        note = self.path / "runtime-dir"
        if note.exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
            note.unlink()


def server_user(home: Path | None = None) -> User | None:
    """The user that the servers run as: None (ourselves), or as root the owner of ``home``, postgres or nobody.

    PostgreSQL refuses to run as root. Only an existing account is used; none is created.
    """
    if os.geteuid() != 0:
        return None
    names = ("postgres", "nobody")
    if home is not None and (uid := home.stat().st_uid) != 0:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return User(str(uid), uid, home.stat().st_gid)
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in names:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise FolderError(
        "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as; "
        "start skald as another user, or set SKALD_DATABASE_URL"
    )


def reachable(path: Path, user: User) -> bool:
    """Whether ``user`` may pass through ``path`` (a folder) or run it (a file); asked as that user."""
    test = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        cwd="/",
        env={},
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        check=False,
    )
    return test.returncode == 0


def shared_folder(path: Path) -> None:
    """Make a folder that every user may look into, whatever the umask; an existing one stays as it is."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file so that a reader sees the old text or the new one, and a crash leaves one of them. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _private_folder(path: Path, user: User | None) -> Path:
    path.mkdir(mode=0o700)
    path.chmod(0o700)
    if user:
        os.chown(path, user.uid, user.gid)
    return path
