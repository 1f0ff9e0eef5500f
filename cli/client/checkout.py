"""A folder of skills that `skald pull` wrote: what it wrote there, and how new versions come in without harm.

``.skald.json`` in the folder tells, by skill, which version was written and the SHA-256 of each file. So a pull knows what
was changed here since, and a push which version the change started from. Without that file every file counts as the user's own.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from cli.client.profile import Target
from cli.client.skill_folders import STATE_FILE, replace_file
from cli.errors import Failure
from domain.content import check_path, normal_path
from domain.errors import Invalid
from domain.formats.archives import mode_of
from domain.names import check_skill_name

FORMAT = 1
STAGE = ".skald-stage-"


class Written(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was written of a skill: its version and digest, and the SHA-256 of each file by its path.

    ``label`` is the one that it was pulled by, and that later pulls follow.
    """

    version: int
    digest: str
    files: dict[str, str]
    label: str | None = None


class State(msgspec.Struct):
    """The content of the file."""

    url: str
    project: str
    skills: dict[str, Written] = {}
    format: int = FORMAT


class Plan(msgspec.Struct, frozen=True):
    """What has to be done to a skill's folder. ``changed`` are files that were changed here and would be lost."""

    write: list[str]
    remove: list[str]
    changed: list[str]


class Checkout:
    """The folder ``path`` for the skills of one service and project."""

    def __init__(self, path: Path, target: Target) -> None:
        self.path = path
        self.target = target
        self.state = State(target.url, target.project)
        # Whether the folder belongs to another service or project, so that what it says is nothing to us.
        self.foreign: State | None = None
        self._lock: int | None = None
        self.reload()

    def reload(self) -> None:
        file = self.path / STATE_FILE
        try:
            state = msgspec.json.decode(file.read_bytes(), type=State)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failure(
                f"{file} cannot be read ({error}); remove it, then every file there counts as your own"
            ) from None
        if state.format != FORMAT:
            raise Failure(f"{file} is of another version of skald ({state.format})")
        if (state.url, state.project) == (self.target.url, self.target.project):
            self.state = state
        else:
            self.foreign = state

    @property
    def exists(self) -> bool:
        return (self.path / STATE_FILE).exists()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other pulls out of the folder, which is made if it is missing. Raises Failure."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Failure(f"{self.path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # What another one has written while we waited.
            self.reload()
            for left in self.path.glob(f"{STAGE}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            os.close(lock)

    def save(self) -> None:
        """Replace the file atomically; without entries there is no file."""
        file = self.path / STATE_FILE
        if not self.state.skills and not file.exists():
            return
        self.state.skills = dict(sorted(self.state.skills.items()))
        text = msgspec.json.format(msgspec.json.encode(self.state), indent=1)
        replace_file(file, f".{secrets.token_hex(4)}{STATE_FILE}", text + b"\n")

    # One skill

    def folder(self, name: str) -> Path:
        """Where a skill is written. Raises Failure when that is no folder of ours to write to."""
        try:
            check_skill_name(name)
        except Invalid as invalid:
            raise Failure(f"'{name}' cannot be a folder: {invalid.detail}") from None
        folder = self.path / name
        if folder.is_symlink():
            raise Failure(f"{folder} is a link; nothing is written through it", code="unsafe_path")
        if folder.exists() and not folder.is_dir():
            raise Failure(f"{folder} is a file; move it away", code="local_changes")
        return folder

    def changes(self, name: str) -> list[str]:
        """Files that are not as they were written: edited or removed here."""
        folder, written = self.folder(name), self.state.skills[name]
        return [path for path, sha256 in sorted(written.files.items()) if _digest(folder, path) != sha256]

    def plan(self, name: str, tree: Mapping[str, bytes]) -> Plan:
        """What makes the folder hold ``tree``. Files of others stay. Raises Failure over unsafe paths."""
        folder = self.folder(name)
        before = self.state.skills.get(name)
        known = before.files if before else {}
        write, remove, changed = [], [], []
        for path, data in sorted(tree.items()):
            _check_inside(folder, path)
            wanted, found = hashlib.sha256(data).hexdigest(), _digest(folder, path)
            if found == wanted:
                continue
            write.append(path)
            # Removed here counts as changed, too: it would come back.
            if found != known.get(path) and not (found is None and path not in known):
                changed.append(path)
        for path, sha256 in sorted(known.items()):
            if path in tree:
                continue
            # An earlier release may have written what is refused today; it may go.
            _check_inside(folder, path, normal_path)
            found = _digest(folder, path)
            if found is not None:
                remove.append(path)
                if found != sha256:
                    changed.append(path)
        # A file of one's own may stand where a folder has to be, and the other way round.
        for path in write:
            place = folder / path
            if place.is_dir() and not _all_within(place, folder, remove):
                raise Failure(f"{place} is a folder with files of yours; move it away", code="local_changes")
            for parent in place.parents:
                if parent == folder:
                    break
                if parent.is_file() and parent.relative_to(folder).as_posix() not in remove:
                    raise Failure(f"{parent} is a file; move it away", code="local_changes")
        return Plan(write, remove, changed)

    def carry_out(
        self,
        name: str,
        plan: Plan,
        tree: Mapping[str, bytes],
        *,
        version: int,
        digest: str,
        label: str | None = None,
    ) -> None:
        """Do what ``plan`` says. Everything is on the disk before the first file of the folder changes."""
        folder = self.folder(name)
        if plan.write:
            stage = self.path / f"{STAGE}{secrets.token_hex(6)}"
            try:
                stage.mkdir(mode=0o755)
                for path in plan.write:
                    _write_new(stage / path, tree[path])
                if not folder.exists():
                    stage.rename(folder)
                else:
                    _remove(folder, plan.remove)
                    for path in plan.write:
                        _make_parents(folder, path)
                        (stage / path).replace(folder / path)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
        else:
            _remove(folder, plan.remove)
        self.note(name, tree, version=version, digest=digest, label=label)

    def note(
        self, name: str, tree: Mapping[str, bytes], *, version: int, digest: str, label: str | None = None
    ) -> None:
        """Remember what the folder of a skill holds."""
        files = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(tree.items())}
        self.state.skills[name] = Written(version, digest, files, label)


def _check_inside(folder: Path, path: str, rule: Callable[[str], str] = check_path) -> None:
    """A path of the service is believed only when it stays in the folder, also by the links on the way."""
    if path != "SKILL.md":
        try:
            if rule(path) != path:
                raise Failure(f"the service names an unsafe path: {path!r}", code="unsafe_path")
        except Invalid as invalid:
            raise Failure(
                f"the service names an unsafe path: {path!r}. {invalid.detail}", code="unsafe_path"
            ) from None
    place = folder
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            raise Failure(f"{place} is a link; nothing is written through it", code="unsafe_path")


def _digest(folder: Path, path: str) -> str | None:
    """The SHA-256 of a file, None when there is none."""
    try:
        return hashlib.sha256((folder / path).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _all_within(place: Path, folder: Path, paths: list[str]) -> bool:
    return all(
        found.relative_to(folder).as_posix() in paths for found in place.rglob("*") if not found.is_dir()
    )


def _write_new(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode_of(data))
    except FileExistsError:
        raise Failure(
            f"'{place.name}' differs from another file only in its case, and this file system takes them for one",
            code="case_clash",
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _make_parents(folder: Path, path: str) -> None:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():  # only what was removed was in there
        shutil.rmtree(place)


def _remove(folder: Path, paths: list[str]) -> None:
    for path in paths:
        (folder / path).unlink(missing_ok=True)
        for parent in (folder / path).parents:
            if parent == folder:
                break
            with contextlib.suppress(OSError):
                parent.rmdir()
