"""Skills as folders on this machine: where they are, what belongs to them, and what they would be in the registry.

A folder with a SKILL.md is a skill; folders below it are its own. Links are followed as long as they end inside the folder
that was named, so that nothing from elsewhere is published by accident.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import msgspec

from cli.errors import Failure
from domain.artifacts.skills import FileRef
from domain.content import MAX_CONTENT_BYTES, MAX_FILES, Ref, check_path, check_tree
from domain.errors import Invalid
from domain.formats import skill_md, spec
from domain.formats.skill_md import Document
from domain.formats.spec import Problem
from domain.names import check_skill_name

SKILL_MD = "SKILL.md"
STATE_FILE = ".skald.json"

# What tools leave behind: never part of a skill.
JUNK_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "__pycache__",
        "node_modules",
        ".venv",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
    }
    | {".ipynb_checkpoints", ".idea", "__MACOSX"}
)
JUNK_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "*.pyc", "*.pyo", "*.swp", "*~", "._*", STATE_FILE)
# What holds secrets by its name. A version is never altered, so a secret in it would stay there.
SECRETS = (".env", ".env.*", "*.env", ".netrc", ".npmrc", ".pypirc", "*.pem", "*.key", "id_rsa", "id_ed25519")
EXAMPLES = ("*.example", "*.sample", "*.template", "*.dist")

# Lines that begin like this are headings, lists, code and the like.
NO_PARAGRAPH = ("#", "```", "~~~", "<", "![", "|", "- ", "* ", "+ ", ">", "1.")

# Folders above it are no place for skills; it keeps a search of a whole disk from going on for ever.
MAX_DEPTH = 32


class LocalSkill(msgspec.Struct, kw_only=True):
    """A folder as it would be published. ``document`` is None when a problem is an error.

    ``files`` has the contents beside SKILL.md by path; ``left_out`` the files that are not taken, with the reason. ``source`` is SKILL.md as it lies there,
    ``sent`` as it is published: with what --fill-in put into it.
    """

    folder: Path
    name: str
    document: Document | None
    files: dict[str, bytes]
    problems: list[Problem]
    left_out: dict[str, str]
    source: bytes = b""
    sent: bytes = b""

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    def tree(self, number: int) -> dict[str, bytes]:
        """SKILL.md and all files, as every endpoint would give them for version ``number``; None is no document."""
        assert self.document is not None
        text = skill_md.head(self.document, number) + self.document.body
        return {SKILL_MD: text.encode(), **self.files}

    def upload(self) -> dict[str, bytes]:
        """SKILL.md as its author wrote it, and all files: what an import reads, nested metadata included."""
        return {SKILL_MD: self.sent, **self.files}

    def digest(self, number: int) -> str:
        return digest_of(self.tree(number))


def digest_of(tree: Mapping[str, bytes]) -> str:
    """The digest of a skill by its files, SKILL.md among them."""
    refs = {path: Ref(hashlib.sha256(data).hexdigest(), len(data)) for path, data in tree.items()}
    own = refs.pop(SKILL_MD)
    return skill_md.digest(own, [FileRef(path, "", ref.size, ref.sha256) for path, ref in refs.items()])


class Found(msgspec.Struct, frozen=True):
    """What a search for skills gave: folders with the root they belong to, and links that lead out of it."""

    folders: list[tuple[Path, Path]]
    outside: list[tuple[Path, Path]]


def find(roots: Iterable[Path], *, exclude: tuple[str, ...] = ()) -> Found:
    """The skills in and below ``roots``. ``exclude`` are patterns for paths below a root. Raises Failure.

    A folder that two roots hold is found once.
    """
    folders: dict[Path, tuple[Path, Path]] = {}
    outside: list[tuple[Path, Path]] = []
    for root in roots:
        if not root.is_dir():
            what = "is a file" if root.exists() else "does not exist"
            raise Failure(f"{root} {what}; name a folder of skills", code="usage")
        real_root = root.resolve()
        for folder in _search(root, root, real_root, exclude, outside, frozenset(), 0):
            folders.setdefault(folder.resolve(), (folder, real_root))
    return Found(list(folders.values()), outside)


def _search(
    folder: Path,
    root: Path,
    real_root: Path,
    exclude: tuple[str, ...],
    outside: list[tuple[Path, Path]],
    above: frozenset[Path],
    depth: int,
) -> Iterator[Path]:
    real = folder.resolve()
    if real in above or depth > MAX_DEPTH:  # a link back to where we are
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise Failure(f"{folder} cannot be read: {error.strerror}") from None
    if any(entry.name.lower() == "skill.md" and entry.is_file() for entry in entries):
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name in JUNK_FOLDERS or not entry.is_dir():
            continue
        if is_excluded(path.relative_to(root).as_posix(), exclude):
            continue
        if entry.is_symlink() and not path.resolve().is_relative_to(real_root):
            outside.append((path, path.resolve()))
            continue
        yield from _search(path, root, real_root, exclude, outside, above | {real}, depth + 1)


def is_excluded(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path below a root, or a folder above it, or its last part, matches one of the patterns."""
    pure = PurePosixPath(path)
    candidates = [str(pure), *(str(parent) for parent in pure.parents if str(parent) != "."), pure.name]
    return any(
        fnmatchcase(candidate, pattern.rstrip("/")) for pattern in patterns for candidate in candidates
    )


def read(
    folder: Path,
    root: Path,
    *,
    exclude: tuple[str, ...] = (),
    include: tuple[str, ...] = (),
    keep: Iterable[str] = (),
    fill_in: bool = False,
) -> LocalSkill:
    """The skill in ``folder``. Every problem is collected, none raised.

    ``include`` are patterns for what would be left out for its name, ``keep`` paths that belong to it whatever they are; ``fill_in``: a missing frontmatter is made up from the
    folder's name and the first paragraph.
    """
    problems: list[Problem] = []
    left_out: dict[str, str] = {}
    files: dict[str, bytes] = {}
    own: dict[str, bytes] = {}
    kept = frozenset(keep)
    for path, place in _files_of(folder, root, problems):
        if path not in kept and (reason := why_left_out(path, exclude, include)):
            if reason != "junk":
                left_out[path] = reason
            continue
        is_own = "/" not in path and path.lower() == SKILL_MD.lower()
        data = _content(path, place, problems, 2 * MAX_CONTENT_BYTES if is_own else MAX_CONTENT_BYTES)
        if data is None:
            continue
        if is_own:
            own[path] = data
            continue
        try:
            files[check_path(path)] = data
        except Invalid as invalid:
            problems.append(_error(invalid.code, invalid.detail, path))
    if len(files) > MAX_FILES:
        problems.append(
            _error(
                "too_many_files",
                f"A skill has at most {MAX_FILES} files beside SKILL.md; this has {len(files)}. Leave some out by "
                "--exclude, or part the skill.",
                "",
            )
        )
    try:
        check_tree(files)
    except Invalid as invalid:
        problems.append(_error(invalid.code, invalid.detail, ""))
    source = own.get(SKILL_MD) or (next(iter(own.values())) if own else b"")
    if len(own) > 1:
        problems.append(
            _error("skill_md_clash", f"Only one of {', '.join(sorted(own))} can be the skill's own text.", "")
        )
    # A link that may not be followed has been reported already.
    parsed = skill_md.parse(source) if own or not problems else skill_md.Parsed(None, [])
    document, sent = parsed.document, source
    for problem in parsed.problems:
        suggestion = _suggested(folder, source) if problem.code == "no_frontmatter" else None
        if problem.code == "required" and "'name'" in problem.message and (line := _name_line(folder)):
            named = _with_line(source, line)
            if fill_in and (document := skill_md.parse(named).document) is not None:
                sent = named
                problems.append(Problem("filled_in", f"There was no name; it is made up: {document.name}"))
            else:
                problems.append(
                    _error(
                        problem.code,
                        f"The frontmatter needs 'name'. Put '{line}' into it, which is the name of the folder; "
                        "push --fill-in does so.",
                        SKILL_MD,
                    )
                )
        elif suggestion is None:
            problems.append(problem)
        elif fill_in:
            document, sent = suggestion, (skill_md.head(suggestion, 1) + suggestion.body).encode()
            problems.append(
                Problem(
                    "filled_in",
                    f"There was no frontmatter; name and description are made up: {suggestion.description[:120]}",
                )
            )
        else:
            fields = skill_md.head(suggestion, 1).split("\n")[1:3]
            lines = "".join(f"\n             {line}" for line in ["---", *fields, "---"])
            problems.append(
                _error(
                    problem.code,
                    "There is no frontmatter. Put this in front of the text, as it is or better; push --fill-in takes it "
                    f"as it is:{lines}",
                    SKILL_MD,
                )
            )
    if document is not None:
        problems += spec.problems(document.name, document, document.body.encode(), files.keys())
        if (own_name := folder.resolve().name) != document.name:
            problems.append(
                Problem(
                    "folder_name",
                    f"The folder is named '{os.fsencode(own_name).decode(errors='backslashreplace')}', the skill "
                    f"'{document.name}': both should be the same, and strict installers want them to be.",
                )
            )
    if any(problem.severity == "error" for problem in problems):
        document = None
    name = document.name if document else parsed.name
    return LocalSkill(
        folder=folder,
        name=name,
        document=document,
        files=files,
        problems=problems,
        left_out=left_out,
        source=source,
        sent=sent,
    )


def _files_of(folder: Path, root: Path, problems: list[Problem]) -> Iterator[tuple[str, Path]]:
    """Every file with its path in the skill; links to files and folders inside ``root`` are followed."""
    stack: list[tuple[str, Path, frozenset[Path]]] = [("", folder, frozenset())]
    while stack:
        prefix, place, above = stack.pop()
        real = place.resolve()
        if real in above:
            problems.append(
                _error(
                    "link_loop",
                    "This link leads back to a folder that it is in; remove it.",
                    prefix.rstrip("/"),
                )
            )
            continue
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(_error("unreadable", f"It cannot be read: {error.strerror}.", prefix.rstrip("/")))
            continue
        for entry in entries:
            path, target = f"{prefix}{entry.name}", place / entry.name
            try:
                path.encode()
            except UnicodeEncodeError:
                shown = path.encode("utf-8", "backslashreplace").decode()
                problems.append(_error("invalid_path", "Its name is no UTF-8; rename it.", shown))
                continue
            if entry.is_symlink():
                if entry.name in JUNK_FOLDERS:
                    continue
                if not target.exists():
                    problems.append(
                        _error(
                            "dead_link", f"This link leads nowhere ({target.readlink()}); remove it.", path
                        )
                    )
                    continue
                if not target.resolve().is_relative_to(root):
                    problems.append(
                        _error(
                            "link_outside",
                            f"This link leads to {target.resolve()}, outside of {root}; put the file itself here, or "
                            "push the folder that holds both.",
                            path,
                        )
                    )
                    continue
            if entry.is_dir():
                if entry.name not in JUNK_FOLDERS:
                    stack.append((f"{path}/", target, above | {real}))
            elif entry.is_file():
                yield path, target
            else:
                problems.append(_error("not_a_file", "It is a device, pipe or socket; remove it.", path))


def why_left_out(path: str, exclude: tuple[str, ...], include: tuple[str, ...]) -> str | None:
    """Why a file does not belong to its skill, by its path alone; None when it does."""
    name = path.rpartition("/")[2]
    if is_excluded(path, exclude):
        return "excluded"
    if is_excluded(path, include):
        return None
    if any(fnmatchcase(name, pattern) for pattern in JUNK_FILES):
        return "junk"
    if any(fnmatchcase(name, pattern) for pattern in SECRETS) and not any(
        fnmatchcase(name, pattern) for pattern in EXAMPLES
    ):
        return "may hold secrets"
    return None


def _content(path: str, place: Path, problems: list[Problem], most: int) -> bytes | None:
    try:
        size = place.stat().st_size
        if size > most:
            problems.append(_error("max_size", f"It has {size:,} bytes; the limit is {most:,}.", path))
            return None
        return place.read_bytes()
    except OSError as error:
        problems.append(_error("unreadable", f"It cannot be read: {error.strerror}.", path))
        return None


def _suggested(folder: Path, source: bytes) -> Document | None:
    """What the frontmatter could be: the folder's name, and the first paragraph of the text."""
    text = source.decode().lstrip("\ufeff")  # what is not UTF-8 has another problem than its frontmatter
    if text.startswith("---"):
        return None
    paragraph: list[str] = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith(NO_PARAGRAPH):
            paragraph.append(line.strip())
        elif paragraph:
            break
    head = skill_md.Document(name=folder.resolve().name, description=" ".join(paragraph)[:1024], body=text)
    return skill_md.parse((skill_md.head(head, 1) + text).encode()).document


def _name_line(folder: Path) -> str:
    """The line that names a skill like its folder; empty when the folder's name cannot be one."""
    try:
        return f"name: {skill_md.scalar(check_skill_name(folder.resolve().name))}"
    except Invalid:
        return ""


def _with_line(source: bytes, line: str) -> bytes:
    """SKILL.md with one more line at the beginning of its frontmatter."""
    opening, end, rest = source.partition(b"\n")
    return opening + end + line.encode() + (b"\r\n" if opening.endswith(b"\r") else b"\n") + rest


def _error(code: str, message: str, path: str) -> Problem:
    return Problem(code, message, path, "error")


def replace_file(file: Path, beside: str, data: bytes) -> None:
    """Write a file atomically, by one of another name beside it, which does not stay when the disk is full."""
    temporary = file.with_name(beside)
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
