"""From a Git repository: each folder with a SKILL.md is a skill, each commit that changes it a version.

At a merge the history goes on where the folder came from, as `git log -- FOLDER` shows it, so that it is one line. A folder that
a commit moved is the same skill before.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cli.client.skill_folders import JUNK_FOLDERS, SKILL_MD, is_excluded, why_left_out
from cli.errors import Failure
from cli.importing import naming, notes
from cli.importing.git_repository import MAX_COPY, Entry, Repository
from cli.importing.source import (
    MAX_ARTIFACTS,
    MAX_VERSION_BYTES,
    MAX_VERSIONS,
    SkillText,
    SourceArtifact,
    SourceVersion,
    Unusable,
    broken,
)
from domain.artifacts.skills import SkillFields, values_of
from domain.content import MAX_CONTENT_BYTES, MAX_FILES
from domain.formats import skill_md
from domain.formats.incoming import content_type_of

NAME_LINE = re.compile(rb"^name[ \t]*:[^\n]*", re.MULTILINE)
FILE_MODES = ("100644", "100755")
LINK_MODE = "120000"


class Step(NamedTuple):
    """A commit that changed the skill, and where its folder was then; ``left`` are names of the folder from before it was moved there."""

    commit: str
    folder: str
    left: frozenset[str]


class GitSource:
    """The skills of one commit, with what led there."""

    def __init__(
        self, place: str, branch: str | None = None, exclude: tuple[str, ...] = (), most: int = MAX_COPY
    ) -> None:
        self.repository = Repository(place, every_branch=branch is not None, most=most)
        self.title = self.repository.title
        self.exclude = exclude
        try:
            self.commit = self.repository.commit_of(branch or "HEAD")
        except Failure:
            self.close()
            raise Failure(f"{self.title} has no {branch or 'commit yet'}", code="git_failed") from None

    def close(self) -> None:
        self.repository.close()

    def artifacts(self) -> Iterator[SourceArtifact]:
        for folder in self._folders():
            try:
                versions = self._versions(folder)
            except Failure as failure:
                yield broken("skill", None, folder or ".", failure)
                continue
            if versions:
                yield self._artifact(folder, versions)

    def _artifact(self, folder: str, versions: list[SourceVersion]) -> SourceArtifact:
        name, *earlier = dict.fromkeys(version.name for version in reversed(versions))
        return SourceArtifact(
            kind="skill",
            name=name,
            called=versions[-1].called,
            place=folder or ".",
            versions=lambda: versions,
            earlier=tuple(earlier),
        )

    def _folders(self) -> list[str]:
        """Folders with a SKILL.md that are in no other such folder."""
        found = set()
        for path in self.repository.paths(self.commit):
            folder, _, name = path.rpartition("/")
            if name.lower() == SKILL_MD.lower() and self._counts(folder):
                found.add(folder)
            if len(found) > MAX_ARTIFACTS:
                raise Failure(f"{self.title} has more than {MAX_ARTIFACTS:,} skills", code="too_many")
        if not found:
            raise Failure(f"there is no SKILL.md in {self.title}", code="no_skills")
        return sorted(folder for folder in found if not any(above in found for above in _above(folder)))

    def _counts(self, folder: str) -> bool:
        if "\n" in folder or JUNK_FOLDERS.intersection(folder.split("/")):
            return False
        return not (folder and is_excluded(folder, self.exclude))

    def _versions(self, folder: str) -> list[SourceVersion]:
        versions: list[SourceVersion] = []
        blobs: dict[str, bytes] = {}
        for step in self._steps(folder):
            source = self._skill_md(step)
            if source is None:
                continue  # the folder was away
            commit, called = self.repository.commit(step.commit), self._called(source, step)
            name = naming.taken_name("skill", called) or ""
            versions.append(
                SourceVersion(
                    number=step.commit[:12],
                    name=name,
                    called=called,
                    author=commit.author,
                    mail=commit.mail,
                    time=notes.instant(commit.seconds, "0"),
                    load=self._loader(step, name, commit.message, blobs),
                )
            )
        return versions[::-1]

    def _steps(self, folder: str) -> list[Step]:
        """Commits that changed the folder, newest first, along one line."""
        lines: list[tuple[str, list[str]]] = []
        commit, count = self.commit, 0
        while True:
            changes = self.repository.changes(commit, folder, MAX_VERSIONS + 1)
            line: list[str] = []
            at = next(iter(changes), None)
            while at is not None:
                line.append(at)
                at = next(iter(changes[at]), None)
                if count + len(line) > MAX_VERSIONS:
                    raise Unusable(f"more than {MAX_VERSIONS:,} commits changed it")
            lines.append((folder, line))
            count += len(line)
            moved = self.repository.moved_from(line[-1], f"{folder}/{SKILL_MD}") if line and folder else None
            if moved is None:
                break
            commit, folder = moved[0], posixpath.dirname(moved[1])
        return [
            Step(commit, folder, frozenset(posixpath.basename(before) for before, _ in lines[place + 1 :]))
            for place, (folder, line) in enumerate(lines)
            for commit in line
        ]

    def _skill_md(self, step: Step) -> bytes | None:
        for name in (SKILL_MD, SKILL_MD.lower(), "Skill.md"):
            data = self.repository.read(f"{step.commit}:{_join(step.folder, name)}", 2 * MAX_CONTENT_BYTES)
            if data is not None:
                return data
        return None

    def _called(self, source: bytes, step: Step) -> str:
        """What SKILL.md says; the folder's name where it says nothing, or still what the folder was called before it was moved."""
        own = posixpath.basename(step.folder)
        said = skill_md.parse(source).name
        if said in step.left and own and naming.taken_name("skill", own):
            return own
        return said or own or posixpath.basename(self.title.rstrip("/")).removesuffix(".git")

    def _loader(
        self, step: Step, name: str, message: str, known: dict[str, bytes]
    ) -> Callable[[], SkillText]:
        return lambda: self._load(step, name, message, known)

    def _load(self, step: Step, name: str, message: str, known: dict[str, bytes]) -> SkillText:
        own, files = _parted(self.repository.entries(step.commit, step.folder), self.exclude)
        if own.size > 2 * MAX_CONTENT_BYTES or any(entry.size > MAX_CONTENT_BYTES for entry in files):
            large = next((entry.path for entry in files if entry.size > MAX_CONTENT_BYTES), SKILL_MD)
            raise Unusable(f"{large} has more than {MAX_CONTENT_BYTES:,} bytes", code="max_size")
        if len(files) > MAX_FILES:
            raise Unusable(f"it has {len(files)} files; a skill has at most {MAX_FILES}", code="max_length")
        if sum(entry.size for entry in files) > MAX_VERSION_BYTES:
            raise Unusable("it is larger than a request to the service may be", code="max_size")
        contents = {entry.oid: known.get(entry.oid) or self._content(entry) for entry in files}
        # The next version has most of its files in common with this one.
        known.clear()
        known.update(contents)
        document = _document(self._content(own), name)
        return SkillText(
            SkillFields(*values_of(document)),
            document.body,
            tuple(
                (entry.path, data, content_type_of(data))
                for entry in files
                for data in (contents[entry.oid],)
            ),
            message,
        )

    def _content(self, entry: Entry) -> bytes:
        data = self.repository.read(entry.oid, 2 * MAX_CONTENT_BYTES)
        if data is None:
            raise Unusable(f"{entry.path} is not in the repository")
        return data


def _parted(entries: Sequence[Entry], exclude: tuple[str, ...]) -> tuple[Entry, list[Entry]]:
    """SKILL.md, and the files that belong to the skill. Raises Unusable."""
    own, files = [], []
    for entry in entries:
        if "/" not in entry.path and entry.path.lower() == SKILL_MD.lower():
            own.append(entry)
        elif JUNK_FOLDERS.intersection(entry.path.split("/")[:-1]) or why_left_out(entry.path, exclude, ()):
            continue
        elif entry.mode in FILE_MODES:
            files.append(entry)
        else:
            what = "a link" if entry.mode == LINK_MODE else "another repository"
            raise Unusable(f"{entry.path} is {what}; only files can be imported", code="not_a_file")
    if len(own) != 1:
        raise Unusable("it has more than one SKILL.md", code="skill_md_clash")
    if own[0].mode not in FILE_MODES:
        raise Unusable("SKILL.md is no file", code="not_a_file")
    return own[0], files


def _document(source: bytes, name: str) -> skill_md.Document:
    """What SKILL.md says, under the name that it has here. Raises Unusable."""
    parsed = skill_md.parse(source)
    if parsed.document is None:
        # A name that is none here, or missing, is all that can be mended.
        line = b"name: " + name.encode()
        opening, end, rest = source.partition(b"\n")
        head, closing, body = rest.partition(b"\n---")
        named, count = NAME_LINE.subn(line, head, count=1)
        parsed = skill_md.parse(opening + end + (named if count else line + b"\n" + head) + closing + body)
    if parsed.document is None:
        errors = [problem.message for problem in parsed.problems if problem.severity == "error"]
        raise Unusable(" ".join(errors[:3]) or "SKILL.md cannot be read", code="invalid_skill")
    return parsed.document


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _above(folder: str) -> Iterator[str]:
    """The folders that a folder is in."""
    while folder:
        folder = posixpath.dirname(folder)
        yield folder
