"""Archives of skills: written the same byte for byte everywhere, read without trust. Bytes in, bytes out.

What is written depends on the files alone: names and contents in the order given, one fixed time, the mode by the bytes.
Nothing is compressed, because what a compressor gives depends on its version, and equal skills must be equal archives.
Over 16 published skills (418 KB of text) a zip is 2.5 and a gzipped tar 3.1 times as large as it would be compressed:
26 KB in place of 10 for one skill.

What is read comes from anywhere. Every problem is collected, so that an author sees all of them at once, and nothing is
unpacked beyond the limits, whatever the archive says of itself.
"""

import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import msgspec

from domain.content import MAX_CONTENT_BYTES, MAX_FILES, MAX_PATH_LENGTH, check_path, parent_folders
from domain.errors import Invalid
from domain.formats import tar
from domain.formats.spec import Problem

SKILL_MD = "SKILL.md"

# 1980-01-01: the earliest time that a zip can hold.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)

# Of each gzip member what follows it is copied, so both are small: the work is at most their product. Programs that compress in
# parts take 64 KB for each, and one that was put together by hand has a few.
MAX_GZIP_MEMBERS = 1000
GZIP_PIECE = 65_536
NO_ZERO = re.compile(rb"[^\0]")

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
ZIP_DIRECTORY_ENTRY = b"PK\x01\x02"
ZIP_DIRECTORY_HEADER = 46  # bytes before the name
ZIP_AFTER_ENTRY = (ZIP_DIRECTORY_ENTRY, b"PK\x05\x05", b"PK\x05\x06", b"PK\x06\x06")
ZIP_LOCAL_HEADER = 30  # bytes before the name
ZIP_PIECE = 65_536
# In the directory; the library takes quadratic time over those of an entry. Times, owners and a name in UTF-8 are far less.
MAX_ZIP_EXTRA = 4096
MEAN_ZIP_EXTRA = 200
UTF8_NAME = 0x800
ENCRYPTED = 0x1
GZIP = 31  # zlib's number for: a gzip header before, a checksum behind

APPLE_DOUBLE = b"\x00\x05\x16\x07"
DRIVE = re.compile(r"[A-Za-z]:")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LEADING_DOT = re.compile(r"^(?:\./+)+")
# A path within the skill, and the folder around it; each of its problems tells it whole.
MAX_NAME_LENGTH = 2 * MAX_PATH_LENGTH
# What the readers of the standard library raise over bytes that are no archive.
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

Tree = Iterable[tuple[str, bytes]]
# By the name in the archive; None where a problem tells why it has no content.
Found = dict[str, bytes | None]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive may hold at most; sizes in bytes of what is unpacked."""

    total_bytes: int = 32 * 1024 * 1024
    files: int = MAX_FILES
    file_bytes: int = MAX_CONTENT_BYTES
    # The body may be as large as a file; what stands before it is checked when it is read.
    skill_md_bytes: int = 2 * MAX_CONTENT_BYTES
    # Files, folders and what is passed over; far above any skill, and little to look through.
    entries: int = 10_000
    # Problems that are listed one by one.
    problems: int = 100
    # Of what the registry itself packed, files that look like those of macOS are files as any other.
    keep_junk: bool = False


LIMITS = Limits()


class Unpacked(msgspec.Struct, frozen=True):
    """What was found: complete only when no problem is an error.

    ``folder`` is the one that held SKILL.md, empty for the root; ``files`` are relative to it, sorted by path.
    """

    skill_md: bytes | None
    files: tuple[tuple[str, bytes], ...]
    folder: str
    problems: tuple[Problem, ...]


def mode_of(data: bytes) -> int:
    """Executable when it names its interpreter: a rule on the bytes, so that equal contents are equal trees."""
    return 0o755 if data.startswith(b"#!") else 0o644


# Writing


class ZipWriter:
    """A zip of files in ``folder``, piece by piece: each call gives the bytes that follow those of the calls before."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        self._out = _Untaken()
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED)

    def add(self, path: str, data: bytes) -> bytes:
        info = zipfile.ZipInfo(_within(self._folder, path), ZIP_TIME)
        info.create_system = 3  # Unix: the mode is one of a file system
        info.external_attr = (stat.S_IFREG | mode_of(data)) << 16
        self._zip.writestr(info, data)
        return self._out.take()

    def end(self) -> bytes:
        self._zip.close()
        return self._out.take()


class _Untaken:
    """A file of which only the end is kept, from where it was taken last; no writer seeks back before that.

    No stream of ``io``: the collector may close one before the ZipFile of an export that was not read to its end, which then
    writes its directory.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._before = self._at = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._before + len(self._data)}[whence]
        self._at = base + offset
        return self._at

    def write(self, data: bytes, /) -> int:
        start = self._at - self._before
        self._data[start : start + len(data)] = data
        self._at += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        data = bytes(self._data)
        self._before += len(data)
        self._data.clear()
        return data


def zip_of(tree: Tree, folder: str = "") -> bytes:
    """A zip of the files in ``folder``."""
    writer = ZipWriter(folder)
    return b"".join([*(writer.add(path, data) for path, data in tree), writer.end()])


def zip_size(sizes: Iterable[tuple[str, int]], folder: str = "") -> int:
    """Bytes of the zip of files of these sizes."""
    # Before each file and in the directory stands its name, with a header of fixed size; one more is at the end.
    return 22 + sum(30 + 46 + 2 * len(_within(folder, path).encode()) + size for path, size in sizes)


def _within(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path


# Reading


class _Fault(Exception):
    """Why an archive, or one entry of it, cannot be read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Entry(NamedTuple):
    """One entry as the archive tells it. ``fault`` says why it cannot be taken; ``read`` gives at most ``size`` bytes."""

    name: str
    folder: bool
    size: int
    fault: _Fault | None
    read: Callable[[], bytes]


class _Problems:
    """Collects, and tells in the end how many were too many to tell."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: list[Problem] = []
        self._more = 0

    def error(self, code: str, message: str, path: str = "") -> None:
        self._add(Problem(code=code, message=message, path=path, severity="error"))

    def warning(self, code: str, message: str, path: str = "") -> None:
        self._add(Problem(code=code, message=message, path=path, severity="warning"))

    def _add(self, problem: Problem) -> None:
        if len(self._found) < self._most:
            self._found.append(problem)
        elif problem.severity == "error":
            self._more += 1

    def listed(self) -> tuple[Problem, ...]:
        if not self._more:
            return tuple(self._found)
        message = f"{self._more} more problems of the archive are not listed."
        return (*self._found, Problem(code="too_many_problems", message=message, path="", severity="error"))


def unpack(data: bytes, limits: Limits = LIMITS) -> Unpacked:
    """A skill from a zip or a gzipped tar, with SKILL.md at the root or one folder down. Never raises over what is sent."""
    return _unpack(lambda: _entries(data, limits), limits)


def gather(files: Iterable[tuple[str, bytes]], limits: Limits = LIMITS) -> Unpacked:
    """The same from files that come one by one, each with its path: by the rules of an archive."""
    return _unpack(
        lambda: (_Entry(name, False, len(data), None, partial(bytes, data)) for name, data in files), limits
    )


def _unpack(entries: Callable[[], Iterator[_Entry]], limits: Limits) -> Unpacked:
    problems = _Problems(limits.problems)
    found: Found = {}
    try:
        found = _collect(entries(), limits, problems)
    except _Fault as fault:
        problems.error(fault.code, fault.message)
        return Unpacked(None, (), "", problems.listed())
    except BROKEN as error:
        problems.error("damaged_archive", f"The archive is damaged: {error}.")
        return Unpacked(None, (), "", problems.listed())
    return _skill_in(found, limits, problems)


def _entries(data: bytes, limits: Limits) -> Iterator[_Entry]:
    if data.startswith(ZIP_MAGICS):
        return _zip_entries(data, limits)
    if data.startswith(GZIP_MAGIC):
        return _tar_entries(_gunzip(data, limits))
    raise _Fault("not_an_archive", "This is neither a zip nor a gzipped tar; send one of them.")


def _zip_entries(data: bytes, limits: Limits) -> Iterator[_Entry]:
    # Before the directory is read into objects, which are a hundred times as large.
    _check_directory(data, limits)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        _check_apart(data, infos, archive.start_dir)
        for info in infos:
            yield _Entry(
                name=_zip_name(info),
                folder=info.filename.endswith("/"),
                size=info.file_size,
                fault=_zip_fault(info),
                read=partial(_zip_content, archive, info),
            )


def _check_directory(data: bytes, limits: Limits) -> None:
    """Raise when the directory would be much work to read; that of an archive within the archive counts, too."""
    count = extra_bytes = 0
    at = data.find(ZIP_DIRECTORY_ENTRY)
    while at >= 0:
        count += 1
        if count > 2 * limits.entries:
            raise _too_many_entries(limits)
        lengths = [int.from_bytes(data[place : place + 2], "little") for place in range(at + 28, at + 34, 2)]
        # Entries follow one another up to the end: other bytes of a file only look like one.
        if data.startswith(ZIP_AFTER_ENTRY, at + ZIP_DIRECTORY_HEADER + sum(lengths)):
            extra_bytes += lengths[1]
            if lengths[1] > MAX_ZIP_EXTRA or extra_bytes > MEAN_ZIP_EXTRA * limits.entries:
                raise _Fault("damaged_archive", "The archive is damaged: its extra fields are too long.")
        at = data.find(ZIP_DIRECTORY_ENTRY, at + len(ZIP_DIRECTORY_ENTRY))


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    parts: list[bytes] = []
    # Piece by piece: in one call, the library adds a few bytes at a time to what it has.
    with archive.open(info) as opened:
        while part := opened.read(ZIP_PIECE):
            parts.append(part)
    return b"".join(parts)


def _check_apart(data: bytes, infos: Sequence[zipfile.ZipInfo], directory: int) -> None:
    """Raise when entries share bytes: then few bytes would stand for many files."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        start = info.header_offset
        if start < end:
            raise _Fault("damaged_archive", "The archive is damaged: its entries overlap.")
        name_length, extra_length = struct.unpack_from("<HH", data, start + ZIP_LOCAL_HEADER - 4)
        end = start + ZIP_LOCAL_HEADER + name_length + extra_length + info.compress_size
    if end > directory:
        raise _Fault("damaged_archive", "The archive is damaged: its entries overlap.")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Names without the UTF-8 flag are in code page 437 by the book, but UTF-8 from the archiver of macOS."""
    name = info.orig_filename
    if not info.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):
            return name.encode("cp437").decode()
    return name


def _zip_fault(info: zipfile.ZipInfo) -> _Fault | None:
    # Only Unix archivers tell a file type there.
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if kind == stat.S_IFLNK:
        return _no_file("a symbolic link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return _no_file("a device or pipe")
    if info.flag_bits & ENCRYPTED:
        return _Fault("encrypted", "It is encrypted; pack it without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return _Fault(
            "unsupported_compression",
            "It is compressed by a method that few installers read; pack it with the usual one (deflate).",
        )
    return None


def _gunzip(data: bytes, limits: Limits) -> bytes:
    """Everything in the gzip members, checked by their checksums, and never much more than the limit."""
    # Headers and padding of tar come on top of the files: three blocks each, and long names.
    most = limits.total_bytes + limits.entries * 2048
    parts: list[bytes] = []
    size = at = members = 0
    while at < len(data):
        members += 1
        if members > MAX_GZIP_MEMBERS:
            raise _Fault(
                "damaged_archive", f"The archive consists of more than {MAX_GZIP_MEMBERS:,} gzip members."
            )
        inflate = zlib.decompressobj(GZIP)
        while not inflate.eof:
            piece = data[at : at + GZIP_PIECE]
            if not piece:
                raise _Fault("damaged_archive", "The archive is damaged: it ends too early.")
            parts.append(inflate.decompress(piece, most - size + 1))
            size += len(parts[-1])
            if size > most:
                raise _too_much(limits)
            at += len(piece) - len(inflate.unused_data)
        following = NO_ZERO.search(data, at)
        at = following.start() if following else len(data)
    return b"".join(parts)


def _tar_entries(data: bytes) -> Iterator[_Entry]:
    for member in tar.members(data):
        folder = member.kind == "folder"
        yield _Entry(
            name=member.name,
            folder=folder,
            size=len(member.data),
            fault=None if folder or member.kind == "file" else _no_file(f"a {member.kind}"),
            read=partial(bytes, member.data),
        )


def _no_file(what: str) -> _Fault:
    return _Fault("not_a_file", f"It is {what}; a skill holds plain files only.")


def _too_much(limits: Limits) -> _Fault:
    return _Fault(
        "archive_too_big",
        f"Unpacked, the archive has more than {limits.total_bytes:,} bytes, which is the limit.",
    )


def _too_many_entries(limits: Limits) -> _Fault:
    return _Fault("too_many_entries", f"The archive has more than {limits.entries:,} entries.")


def _collect(entries: Iterator[_Entry], limits: Limits, problems: _Problems) -> Found:
    """The files of the archive, as far as they may be read."""
    found: Found = {}
    junk: list[str] = []
    left = limits.total_bytes
    for count, entry in enumerate(entries):
        if count >= limits.entries:
            raise _too_many_entries(limits)
        name = LEADING_DOT.sub("", entry.name)
        if entry.folder:
            name = name.rstrip("/")
            if name in ("", "."):
                continue
        if (fault := _name_fault(name)) is not None:
            problems.error(fault.code, fault.message, _shown(name))
        elif entry.folder:
            continue
        elif not limits.keep_junk and _is_junk(name):
            junk.append(name)
        elif name in found:
            problems.error("duplicate_path", "It is in the archive more than once.", _shown(name))
        else:
            found[name] = data = _content(name, entry, left, limits, problems)
            left -= len(data or b"")
            if data is not None and not limits.keep_junk and _is_apple_double(name, data):
                junk.append(name)
                del found[name]
    if junk:
        message = f"Left out, as it is no part of the skill: what macOS stores beside files ({len(junk)})."
        problems.warning("ignored_files", message, _shown(junk[0]))
    return found


def _content(name: str, entry: _Entry, left: int, limits: Limits, problems: _Problems) -> bytes | None:
    """What an entry holds, at most ``left`` bytes; None with a problem that tells why it is not taken."""
    most = limits.skill_md_bytes if _is_skill_md(name) else limits.file_bytes
    if entry.fault is not None:
        problems.error(entry.fault.code, entry.fault.message, _shown(name))
    elif entry.size > most:
        problems.error("max_size", f"It has {entry.size:,} bytes; the limit is {most:,}.", _shown(name))
    elif entry.size > left:
        raise _too_much(limits)
    else:
        try:
            return entry.read()
        except BROKEN as error:
            problems.error("damaged_file", f"It cannot be unpacked: {error}.", _shown(name))
    return None


def _is_skill_md(name: str) -> bool:
    return name.rpartition("/")[2].lower() == SKILL_MD.lower()


def _shown(name: str) -> str:
    """A printable name: without surrogates, which stand for bytes that are no UTF-8, and control characters."""
    text = name.encode("utf-8", "backslashreplace").decode()[:MAX_PATH_LENGTH]
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _name_fault(name: str) -> _Fault | None:
    """Why files of that name are not taken, whatever they hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return _Fault("invalid_path", "Its name is no UTF-8; rename it.")
    if CONTROL.search(name):
        return _Fault("invalid_path", "Its name has control characters; rename it.")
    if len(name) > MAX_NAME_LENGTH:
        return _Fault("max_length", f"A path has at most {MAX_PATH_LENGTH} characters.")
    if "\\" in name:
        return _Fault("unsafe_path", "Its name has a backslash; put '/' between folders.")
    if name.startswith("/") or DRIVE.match(name):
        return _Fault("unsafe_path", "Its path is absolute; pack the folder with relative paths.")
    segments = name.split("/")
    if ".." in segments:
        return _Fault("unsafe_path", "Its path leads out of the folder by '..'.")
    if "" in segments or "." in segments:
        return _Fault("unsafe_path", "Its path has an empty or '.' segment.")
    return None


def _is_junk(name: str) -> bool:
    """What macOS leaves in archives beside the files."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _is_apple_double(name: str, data: bytes) -> bool:
    return name.rpartition("/")[2].startswith("._") and data.startswith(APPLE_DOUBLE)


def _skill_in(found: Found, limits: Limits, problems: _Problems) -> Unpacked:
    """The skill among the files: where its SKILL.md is, and whether all the rest fits with it."""
    prefix, file_name = _place_of_skill_md(found, problems)
    folder = prefix.rstrip("/")
    if file_name is None:
        return Unpacked(None, (), folder, problems.listed())
    files: dict[str, bytes] = {}
    for name, data in sorted(found.items()):
        path = name.removeprefix(prefix)
        if name == prefix + file_name:
            continue
        if not name.startswith(prefix):
            problems.error("outside_folder", f"It is outside of '{prefix}', the folder of SKILL.md.", name)
            continue
        try:
            files[check_path(path)] = data or b""
        except Invalid as refused:
            problems.error(refused.code, refused.detail, _shown(name))
        # One that is called SKILL.md, too, but deeper.
        if data is not None and len(data) > limits.file_bytes:
            problems.error(
                "max_size", f"It has {len(data):,} bytes; the limit is {limits.file_bytes:,}.", name
            )
    if len(files) > limits.files:
        problems.error(
            "too_many_files",
            f"A skill has at most {limits.files} files beside SKILL.md; this one has {len(files):,}.",
        )
    else:
        # Of so few only: the folders above a deep path are many, and long.
        _check_folders(files, prefix, problems)
    return Unpacked(found[prefix + file_name], tuple(files.items()), folder, problems.listed())


def _check_folders(files: Collection[str], prefix: str, problems: _Problems) -> None:
    for path in files:
        for parent in parent_folders(path):
            if parent in files:
                problems.error(
                    "path_conflict", f"'{parent}' cannot be a file and a folder at once.", prefix + path
                )


def _place_of_skill_md(found: Iterable[str], problems: _Problems) -> tuple[str, str | None]:
    """The folder with its final slash, and the name of the file as it is written there; None when that is not clear."""
    places: dict[str, list[str]] = {}
    deeper: list[str] = []
    for name in sorted(found):
        folder, slash, file = name.rpartition("/")
        if not _is_skill_md(name):
            continue
        if "/" in folder:
            deeper.append(folder)
        else:
            places.setdefault(folder + slash, []).append(file)
    prefixes = [""] if "" in places else list(places)
    if not prefixes:
        hint = f"; there is one in '{_shown(deeper[0])}': pack that folder" if deeper else ""
        problems.error("skill_md_missing", f"SKILL.md must be at the root or one folder down{hint}.")
        return "", None
    if len(prefixes) > 1:
        for prefix in prefixes:
            problems.error(
                "several_skills",
                "The archive holds more than one skill; pack each by itself.",
                _shown(prefix + places[prefix][0]),
            )
        return "", None
    [prefix] = prefixes
    names = places[prefix]
    if len(names) > 1:
        for name in names:
            message = f"Only one of {', '.join(names)} can be the skill's own text."
            problems.error("skill_md_clash", message, _shown(prefix + name))
        return prefix, None
    if names[0] != SKILL_MD:
        message = "Agents look for SKILL.md, in these letters; it is taken under that name."
        problems.warning("skill_md_case", message, _shown(prefix + names[0]))
    return prefix, names[0]
