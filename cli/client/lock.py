"""Lock files: ``skald.lock``, which a pull writes, and those of other installers, of which names and versions are taken.

A lock file comes with a repository, and is no more to be trusted than that: names, numbers and digests are believed in their forms alone,
and no address in it is requested.
"""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cli.client.skill_folders import replace_file
from cli.errors import Failure
from cli.output import printable
from domain.errors import Invalid
from domain.names import check_skill_name

LOCK_FILE = "skald.lock"
FORMAT = 1
MAX_BYTES = 16 * 2**20  # of a lock file: 10,000 skills with long names and sources are 4 MB
MAX_LOCKED = 10_000  # skills
MAX_DEPTH = 32  # levels of YAML; a lock of APM has about 5

CONFLICT = re.compile(rb"^(<{7} |={7}\r?$|>{7} )", re.MULTILINE)  # as Git marks it

# The packages of APM are ``skald/NAME``, their versions ``1.0.N``.
APM_PACKAGE = re.compile(r"skald/([a-z0-9-]{1,64})")
APM_VERSION = re.compile(r"1\.0\.([1-9][0-9]{0,8})")


class Locked(msgspec.Struct, frozen=True):
    """A version that was installed. ``position`` is that of the event which published it, ``source`` the project that it came from."""

    version: Annotated[int, Meta(ge=1, lt=2**31)]
    digest: Annotated[
        str, Meta(pattern="^sha256:[0-9a-f]{64}$", max_length=71)
    ]  # `$` also stands before a line end
    position: Annotated[int, Meta(ge=1, lt=10**18)] | None
    source: Annotated[str, Meta(max_length=2048)]


class Lock(msgspec.Struct):
    """The content of ``skald.lock``."""

    format: int
    skills: dict[str, Locked]


class Pinned(msgspec.Struct, frozen=True):
    """What a lock file holds on to. ``version`` is None where the file has a hash by ``npx skills`` instead."""

    name: str
    version: int | None
    digest: str | None = None
    hash: str | None = None
    source: str | None = None


def source_of(url: str, project: str) -> str:
    return f"{url}/api/projects/{project}"


def read_lock(folder: Path) -> dict[str, Locked] | None:
    """What the lock in the folder holds, by name; None when there is none. Raises Failure."""
    file = folder / LOCK_FILE
    if not file.exists() and not file.is_symlink():
        return None
    data = _bytes(file)
    _check_merged(file, data)
    return _skald(file, data)


def write_lock(folder: Path, skills: Mapping[str, Locked]) -> None:
    """Replace the file atomically, when it is to hold something else: the same skills have the same bytes."""
    text = (
        msgspec.json.format(msgspec.json.encode(Lock(FORMAT, dict(sorted(skills.items())))), indent=2) + b"\n"
    )
    file = folder / LOCK_FILE
    try:
        if file.read_bytes() == text:
            return
    except FileNotFoundError:
        if not skills:
            return
    replace_file(file, f".{secrets.token_hex(4)}.{LOCK_FILE}", text)


def read_any(file: Path, host: str) -> tuple[list[Pinned], int]:
    """What a lock file of any kind holds of this service, and how many skills of elsewhere it has. Raises Failure.

    ``host`` is that of the service: of ``skills-lock.json`` what came from there counts.
    """
    data = _bytes(file)
    _check_merged(file, data)
    if file.suffix in (".yaml", ".yml"):
        return _apm(file, data)
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(file, f"it is no JSON object ({printable(error)})") from None
    if "format" in found or not isinstance(found.get("version"), int):
        locked = _skald(file, data)
        return [Pinned(name, one.version, one.digest, None, one.source) for name, one in locked.items()], 0
    return _npm(file, found, host)


def _skald(file: Path, data: bytes) -> dict[str, Locked]:
    try:
        lock = msgspec.json.decode(data, type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(file, printable(error)) from None
    if lock.format != FORMAT:
        raise _bad(file, f"it is of another version of skald ({lock.format})")
    _check_names(file, lock.skills)
    return lock.skills


def _npm(file: Path, found: dict[str, Any], host: str) -> tuple[list[Pinned], int]:
    """``skills-lock.json`` of ``npx skills``: a hash of what was installed from a share or the origin."""
    skills = found.get("skills")
    if not isinstance(skills, dict):
        raise _bad(file, "it has no 'skills'")
    pinned = []
    for name, entry in skills.items():
        if not isinstance(entry, dict) or entry.get("sourceType") != "well-known":
            continue
        if _host_of(entry.get("sourceUrl")) != host:
            continue
        computed = entry.get("computedHash")
        if not isinstance(computed, str) or re.fullmatch("[0-9a-f]{64}", computed) is None:
            raise _bad(file, f"skills.{printable(name)}.computedHash is no SHA-256 in hex")
        pinned.append(Pinned(name, None, None, computed))
    _check_names(file, {one.name: one for one in pinned})
    return pinned, len(skills) - len(pinned)


def _apm(file: Path, data: bytes) -> tuple[list[Pinned], int]:
    """``apm.lock.yaml``: packages with their versions."""
    found = _yaml(file, data)
    listed = found.get("dependencies") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise _bad(file, "it has no list of 'dependencies'")
    pinned: dict[str, Pinned] = {}
    for entry in listed:
        package = entry.get("repo_url") if isinstance(entry, dict) else None
        named = APM_PACKAGE.fullmatch(package) if isinstance(package, str) else None
        if named is None:
            continue
        text = entry.get("version")
        version = APM_VERSION.fullmatch(text) if isinstance(text, str) else None
        if version is None:
            raise _bad(file, f"the version of skald/{named[1]} is not 1.0.N")
        pinned[named[1]] = Pinned(named[1], int(version[1]))
    _check_names(file, pinned)
    return list(pinned.values()), len(listed) - len(pinned)


def _yaml(file: Path, data: bytes) -> Any:
    """Mappings, lists and texts, whatever their tags say: a tag may ask for what its text is not. Raises Failure.

    Aliases would let a small file stand for a tree of any size, and the loader takes the stack of the process for each level.
    """
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    try:
        for event in yaml.parse(data, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise _bad(file, f"it has the alias '*{printable(str(event.anchor)[:100])}'")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise _bad(file, f"it is nested deeper than {MAX_DEPTH} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return yaml.load(data, Loader=loader)  # noqa: S506 - it makes lists, mappings and texts alone
    except (yaml.YAMLError, ValueError) as error:
        raise _bad(file, f"it is no YAML ({printable(str(error).partition(chr(10))[0])})") from None


def _check_merged(file: Path, data: bytes) -> None:
    """Raises Failure when Git has left both sides in the file."""
    if CONFLICT.search(data):
        raise _bad(
            file,
            "it has conflict markers of a merge; take either side of it, and let `skald pull` write it anew",
        )


def _check_names(file: Path, skills: Mapping[str, object]) -> None:
    if len(skills) > MAX_LOCKED:
        raise _bad(file, f"it has more than {MAX_LOCKED:,} skills")
    for name in skills:
        try:
            check_skill_name(name)
        except Invalid as invalid:
            raise _bad(file, f"'{printable(name[:100])}' is no name of a skill: {invalid.detail}") from None


def _host_of(url: object) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).netloc if isinstance(url, str) else None
    except ValueError:
        return None


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", code="no_lock") from None
    if len(data) > MAX_BYTES:
        raise _bad(file, f"it is larger than {MAX_BYTES:,} bytes")
    return data


def _bad(file: Path, why: str) -> Failure:
    return Failure(f"{file} is no lock that can be read: {why}", code="bad_lock")


# How ICU orders ASCII, as ``localeCompare`` does: punctuation, digits, letters; of equal letters the small one first.
_ORDER = {
    char: place
    for place, char in enumerate(" _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz")
}


def npm_hash(tree: Mapping[str, bytes]) -> str | None:
    """The hash that ``npx skills`` keeps of a skill: of paths and contents, in the order of its language; None where that is not known."""
    import hashlib

    if not all(path.isascii() and path.isprintable() for path in tree):
        return None
    whole = hashlib.sha256()
    for path in sorted(tree, key=lambda path: ([_ORDER[char] for char in path.lower()], path.swapcase())):
        whole.update(path.encode() + tree[path])
    return whole.hexdigest()
