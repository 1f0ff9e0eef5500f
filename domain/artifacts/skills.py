"""The skill: a SKILL.md body with bundled files and metadata; its commands and its events."""

import difflib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace

from domain.artifacts.labels import LabelRemoved, LabelSet
from domain.artifacts.owners import OwnersSet, checked_owners
from domain.artifacts.promotions import (
    PromotionApproved,
    PromotionEvents,
    PromotionRejected,
    PromotionRequested,
    PromotionWithdrawn,
)
from domain.artifacts.tags import TagsSet
from domain.artifacts.versioned import Archived, Renamed, Restored, Source, Versioned, VersionEvent
from domain.artifacts.yanks import Latest, VersionUnyanked, VersionYanked
from domain.content import (
    MAX_CONTENT_BYTES,
    MAX_FILES,
    Content,
    Edit,
    EditWork,
    Ref,
    apply_edits,
    check_edited,
    check_tree,
    clashes,
    edit_cost,
    line_count,
    served,
    text_of,
    too_big,
)
from domain.errors import FileExists, Invalid, NotFound
from domain.events import Event, event
from domain.outline import outline, stays

MAX_DESCRIPTION = 1024
MAX_LICENSE = 255
MAX_COMPATIBILITY = 500
MAX_METADATA_BYTES = 100_000
MAX_METADATA_DEPTH = 32
MAX_COMPARED = 8  # paths that are compared with one that is missing
COMPARED_LENGTH = 100  # characters of each: two that are this long take a millisecond at worst
# Of a body, which is read by people and models: each costs many times its two bytes in every answer with an outline.
MAX_HEADINGS = 10_000
MAX_METADATA_KEYS = 1000  # of the object itself; a comparison of two versions names each

Metadata = dict[str, Any]


class Details(msgspec.Struct, frozen=True):
    """The short fields of a version, as answers list them, in their order."""

    description: str = ""
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    metadata: Metadata = {}


class SkillFields(Details, frozen=True):
    """What a version says beside its name, body and files.

    ``frontmatter`` holds what an imported SKILL.md says beside the fields, as source lines (see ``domain.formats.skill_md``).
    Events have the same fields flat; commands, copies, reverts, comparisons and renderings take them from here.
    """

    frontmatter: str = ""


FIELDS = SkillFields.__struct_fields__
COMPARED = ("name", FIELDS[0], "body", *FIELDS[1:], "version_description")
ABSENT = (UNSET,) * len(FIELDS)

# The values of all fields, of what has them.
values_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*FIELDS)


class FileRef(msgspec.Struct, frozen=True):
    """A file of a version: where it stands and which content it has (``sha256`` in hex, ``size`` in bytes).

    ``line_count`` and ``char_count`` follow from the content: None for what is no text, absent in events of earlier releases.
    """

    path: str
    content_type: str
    size: int
    sha256: str
    line_count: int | UnsetType | None = UNSET
    char_count: int | UnsetType | None = UNSET

    @classmethod
    def of(cls, path: str, content_type: str, content: Content) -> Self:
        counts = counts_of(content.data)
        return cls(path, content_type, content.ref.size, content.ref.sha256, *counts)

    @property
    def ref(self) -> Ref:
        return Ref(self.sha256, self.size)

    def same(self, other: "FileRef") -> bool:
        """Whether it is the same file: what follows from its content is not compared."""
        return self is other or (self.path, self.content_type, self.sha256) == (
            other.path,
            other.content_type,
            other.sha256,
        )


def counts_of(data: bytes) -> tuple[int | None, int | None]:
    """Lines and characters of a file."""
    text = text_of(data)
    return (None, None) if text is None else (line_count(text), len(text))


@event
class SkillCreated(VersionEvent, frozen=True, kw_only=True):
    """Without ``owners`` it belongs to the user who made it. ``display_name`` is that of ``/v1/skills``, empty where it is the name;
    nothing is decided by it, so the folded state has none.
    """

    TOPIC: ClassVar[str] = "skill.created"

    name: str
    description: str
    body: Ref
    outline: Ref
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    metadata: Metadata = {}
    files: tuple[FileRef, ...] = ()
    source: Source | None = None
    frontmatter: str = ""
    version_description: str = ""
    owners: tuple[int, ...] | None = None
    tags: tuple[str, ...] = ()
    display_name: str = ""


@event
class SkillPublished(VersionEvent, frozen=True, kw_only=True):
    """Fields that are absent carry forward, but for the description of the version. ``files`` is the whole new manifest, ``edited`` only what edits changed."""

    TOPIC: ClassVar[str] = "skill.published"

    description: str | UnsetType = UNSET
    body: Ref | UnsetType = UNSET
    outline: Ref | UnsetType = UNSET
    license: str | UnsetType = UNSET
    compatibility: str | UnsetType = UNSET
    allowed_tools: tuple[str, ...] | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    files: tuple[FileRef, ...] | UnsetType = UNSET
    edited: tuple[FileRef, ...] = ()
    reverted_to: int | None = None
    frontmatter: str | UnsetType = UNSET
    version_description: str = ""


@event
class SkillFileAdded(VersionEvent, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.file_added"

    file: FileRef


@event
class SkillFileRenamed(VersionEvent, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.file_renamed"

    old_path: str
    new_path: str


@event
class SkillFileRemoved(VersionEvent, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.file_removed"

    path: str


@event
class SkillArchived(Archived, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.archived"


@event
class SkillRestored(Restored, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.restored"


@event
class SkillRenamed(Renamed, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.renamed"


@event
class SkillOwnersSet(OwnersSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.owners_set"


@event
class SkillTagsSet(TagsSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.tags_set"


@event
class SkillLabelSet(LabelSet, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.label_set"


@event
class SkillLabelRemoved(LabelRemoved, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.label_removed"


@event
class SkillPromotionRequested(PromotionRequested, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.promotion_requested"


@event
class SkillPromotionApproved(PromotionApproved, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.promotion_approved"


@event
class SkillPromotionRejected(PromotionRejected, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.promotion_rejected"


@event
class SkillPromotionWithdrawn(PromotionWithdrawn, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.promotion_withdrawn"


class SkillLatest(Latest, frozen=True):
    fields: SkillFields
    body: Ref
    outline: Ref
    files: tuple[FileRef, ...] = ()
    version_description: str = ""


@event
class SkillVersionYanked(VersionYanked, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.version_yanked"

    latest: SkillLatest | None = None


@event
class SkillVersionUnyanked(VersionUnyanked, frozen=True, kw_only=True):
    TOPIC: ClassVar[str] = "skill.version_unyanked"

    latest: SkillLatest | None = None


class File(msgspec.Struct, frozen=True):
    """A file as a command brings it, text or not; ``path`` is normal already."""

    path: str
    content: bytes
    content_type: str = "text/plain"


class FileEdits(msgspec.Struct, frozen=True):
    path: str
    edits: tuple[Edit, ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a publish brings. What is absent carries forward, what is given replaces the whole value.

    ``fields`` are those of ``SkillFields`` by their names. A file that is a ``FileRef`` has a content that is in the log already.
    """

    body: str | UnsetType = UNSET
    edits: tuple[Edit, ...] | UnsetType = UNSET
    files: tuple[File | FileRef, ...] | UnsetType = UNSET
    file_edits: tuple[FileEdits, ...] | UnsetType = UNSET
    fields: Mapping[str, Any] = {}
    version_description: str = ""


class Skill(Versioned, kw_only=True):
    """A skill: one stream, which holds a name, one at a time, from its creation to its archive.

    Commands return the contents that must be stored with their events.
    """

    KIND: ClassVar[str] = "skill"
    RESOURCE: ClassVar[str] = "llm_skills"
    SCOPE: ClassVar[str] = "llm_skill"
    READS: ClassVar[str] = "skills, their files and versions"
    TEXT: ClassVar[str] = "body"
    TAGS: ClassVar[Mapping[str, str]] = {
        "skills": "Skills: a SKILL.md body, metadata and bundled files, in versions.",
        "packages": "Skills as agents install them: SKILL.md and files, in and out.",
    }
    NAMES: ClassVar[str] = "The name of an active skill."
    EXAMPLE: ClassVar[str] = "pdf-forms"
    COMPARED: ClassVar[tuple[str, ...]] = COMPARED
    ARCHIVED: ClassVar[type[Archived]] = SkillArchived
    RESTORED: ClassVar[type[Restored]] = SkillRestored
    RENAMED: ClassVar[type[Renamed]] = SkillRenamed
    OWNERS_SET: ClassVar[type[OwnersSet]] = SkillOwnersSet
    TAGS_SET: ClassVar[type[TagsSet]] = SkillTagsSet
    LABEL_SET: ClassVar[type[LabelSet]] = SkillLabelSet
    LABEL_REMOVED: ClassVar[type[LabelRemoved]] = SkillLabelRemoved
    YANKED: ClassVar[type[VersionYanked]] = SkillVersionYanked
    UNYANKED: ClassVar[type[VersionUnyanked]] = SkillVersionUnyanked
    PROMOTION: ClassVar[PromotionEvents] = PromotionEvents(
        SkillPromotionRequested, SkillPromotionApproved, SkillPromotionRejected, SkillPromotionWithdrawn
    )

    fields: SkillFields = SkillFields()
    body: Ref = Ref("", 0)
    outline: Ref = Ref("", 0)
    files: dict[str, FileRef] = {}
    version_description: str = ""

    def compared(self, field: str) -> Any:
        return getattr(self.fields if field in FIELDS else self, field)

    @property
    def refs(self) -> Iterable[Ref]:
        return (self.body, self.outline, *(file.ref for file in self.files.values()))

    # Commands

    @classmethod
    def create(
        cls,
        *,
        id: UUID,
        version_id: UUID,
        name: str,
        fields: SkillFields,
        body: str,
        files: Sequence[File | FileRef] = (),
        version_description: str = "",
        owners: tuple[int, ...] | None = None,
        tags: tuple[str, ...] = (),
        display_name: str = "",
    ) -> tuple[Self, list[Content]]:
        """Version 1 of a new skill, which belongs to its maker without ``owners``.

        Raises Invalid when two files do not fit in one tree.
        """
        check_tree(file.path for file in files)
        text, headings = _body(body), _outline(body)
        refs, contents = _file_refs(files)
        skill = cls(id=id)
        skill.trigger(
            SkillCreated(
                originator_id=id,
                originator_version=1,
                version_id=version_id,
                name=name,
                body=text.ref,
                outline=headings.ref,
                files=refs,
                version_description=version_description,
                owners=None if owners is None else checked_owners(owners),
                tags=tags,
                display_name=display_name,
                **asdict(fields),
            )
        )
        return skill, [text, headings, *contents]

    def duplicate(self, *, id: UUID, version_id: UUID, name: str) -> "Skill":
        """Version 1 of ``name`` with the latest content and files and the tags of this skill."""
        copy = Skill(id=id)
        copy.trigger(
            SkillCreated(
                originator_id=id,
                originator_version=1,
                version_id=version_id,
                name=name,
                source=Source(self.id, self.number),
                tags=self.tags,
                **self._content(),
            )
        )
        return copy

    def texts_for(self, changes: Changes) -> list[Ref]:
        """The contents that ``publish`` has to read for these changes. Raises Invalid when these are too much at once."""
        refs = [self.body] if changes.edits else []
        paths = [entry.path for entry in changes.file_edits or ()]
        files = [self.files[path].ref for path in paths if path in self.files]
        check_edited(files, "file_edits")
        return refs + files

    def edit_cost(self, changes: Changes) -> int:
        """What the edits of these changes look through, in bytes."""
        texts = [(self.body.size, len(changes.edits or ()))]
        for entry in changes.file_edits or ():
            if entry.path in self.files:
                texts.append((self.files[entry.path].size, len(entry.edits)))
        return edit_cost(texts)

    def publish(
        self, changes: Changes, *, version_id: UUID, base_version: int, texts: Mapping[bytes, bytes]
    ) -> list[Content]:
        """The next version. ``texts`` holds what ``texts_for`` names, by digest.

        Raises VersionConflict, then the first of EditFailed, TooBig or Invalid in the order of the fields.
        """
        self.check_base(base_version)
        contents: list[Content] = []
        body: Ref | UnsetType = UNSET
        headings: Ref | UnsetType = UNSET
        new_body = changes.body
        same_headings = False
        work = EditWork()
        if changes.edits:
            old_body = texts[self.body.digest].decode()
            new_body = apply_edits(old_body, changes.edits, attr="edits", work=work)
            same_headings = stays(old_body, changes.edits)
            if not new_body or new_body.isspace():
                last = len(changes.edits) - 1
                raise Invalid(
                    "The edits leave a blank body.", code="blank", attr=f"edits__{last}__new", edit_index=last
                )
        if new_body is not UNSET:
            text = _body(new_body)
            body = text.ref
            contents.append(text)
            if not same_headings:
                outlined = _outline(new_body)
                headings = outlined.ref
                contents.append(outlined)
        files: tuple[FileRef, ...] | UnsetType = UNSET
        if changes.files is not UNSET:
            check_tree(file.path for file in changes.files)
            files, stored = _file_refs(changes.files)
            contents += stored
        edited = []
        for index, entry in enumerate(changes.file_edits or ()):
            old = self._file_to_edit(entry.path, index)
            where = f"file_edits__{index}__edits"
            old_text = text_of(texts[old.ref.digest])
            if old_text is None:
                raise Invalid(
                    f"'{entry.path}' is no text, so it cannot be edited; send it anew in `files`.",
                    code="not_text",
                    attr=f"file_edits__{index}__path",
                    file_path=entry.path,
                )
            content = Content.of(
                apply_edits(old_text, entry.edits, attr=where, work=work, file_path=entry.path)
            )
            edited.append(FileRef.of(old.path, old.content_type, content))
            contents.append(content)
        self.trigger(
            SkillPublished(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                body=body,
                outline=headings,
                files=files,
                edited=tuple(edited),
                version_description=changes.version_description,
                **changes.fields,
            )
        )
        return contents

    def add_file(self, file: File, *, version_id: UUID, base_version: int | None) -> list[Content]:
        """Raises VersionConflict, FileExists, Invalid."""
        self.check_base(base_version)
        others = served(self.files)
        self._check_free(file.path, "path", others)
        if len(others) >= MAX_FILES:
            raise Invalid(f"A skill has at most {MAX_FILES} files.", code="max_length", attr="path")
        [ref], contents = _file_refs([file])
        self.trigger(
            SkillFileAdded(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                file=ref,
            )
        )
        return contents

    def rename_file(self, old: str, new: str, *, version_id: UUID, base_version: int | None) -> None:
        """Raises VersionConflict, NotFound, FileExists, Invalid."""
        self.check_base(base_version)
        self.file(old)
        if old == new:
            raise FileExists(f"The file is at '{new}' already.", attr="new_path")
        self._check_free(new, "new_path", [path for path in served(self.files) if path != old])
        self.trigger(
            SkillFileRenamed(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                old_path=old,
                new_path=new,
            )
        )

    def remove_file(self, path: str, *, version_id: UUID, base_version: int | None) -> None:
        """Raises VersionConflict, NotFound."""
        self.check_base(base_version)
        self.file(path)
        self.trigger(
            SkillFileRemoved(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                path=path,
            )
        )

    def revert(self, old: "Skill", *, version_id: UUID, base_version: int | None) -> None:
        """A new version that is equal to ``old``, an earlier state of this skill. Raises VersionConflict."""
        self.check_base(base_version)
        self.trigger(
            SkillPublished(
                originator_id=self.id,
                originator_version=self.version + 1,
                number=self.highest + 1,
                version_id=version_id,
                reverted_to=old.number,
                **old._content(),
            )
        )

    def file(self, path: str) -> FileRef:
        """Raises NotFound with close paths."""
        return find_file(served(self.files), path, self.name)

    def _content(self) -> dict[str, Any]:
        """All that a version is made of, as the events that bring it whole have it."""
        return {
            "body": self.body,
            "outline": self.outline,
            "files": tuple(served(self.files).values()),
            **asdict(self.fields),
        }

    def _file_to_edit(self, path: str, index: int) -> FileRef:
        if path not in served(self.files):
            raise Invalid(
                f"The skill has no file '{path}' to edit.",
                code="file_not_found",
                attr=f"file_edits__{index}__path",
                file_path=path,
            )
        return self.files[path]

    def _check_free(self, path: str, attr: str, others: Sequence[str] | Mapping[str, FileRef]) -> None:
        if path in others:
            raise FileExists(f"The skill has a file '{path}' already.", attr=attr)
        if clashes(path, others):
            raise Invalid(f"'{path}' cannot be a file and a folder at once.", code="path_conflict", attr=attr)

    def as_latest(self, name: str) -> SkillLatest:
        return SkillLatest(
            self.number,
            self.version_id,
            name,
            self.fields,
            self.body,
            self.outline,
            tuple(self.files.values()),
            self.version_description,
        )

    # Fold

    def go_to(self, latest: Latest) -> None:
        assert isinstance(latest, SkillLatest)
        self.fields = latest.fields
        self.body = latest.body
        self.outline = latest.outline
        self.files = _by_path(latest.files)
        self.version_description = latest.version_description

    def apply(self, event: Event) -> None:
        match event:
            case SkillPublished():
                # All at once: a loop over their names took as long as all the rest of this fold.
                given = values_of(event)
                if given != ABSENT:
                    self.fields = _replaced(self.fields, given)
                if event.body is not UNSET:
                    self.body = event.body
                if event.outline is not UNSET:
                    self.outline = event.outline
                if event.files is not UNSET:
                    self.files = _by_path(event.files)
                if event.edited:
                    self.files = self.files | {file.path: file for file in event.edited}
                self.version_description = event.version_description
            case SkillFileAdded():
                self.files = _by_path([*self.files.values(), event.file])
                self.version_description = ""
            case SkillFileRenamed():
                moved = msgspec.structs.replace(self.files[event.old_path], path=event.new_path)
                kept = [file for path, file in self.files.items() if path != event.old_path]
                self.files = _by_path([*kept, moved])
                self.version_description = ""
            case SkillFileRemoved():
                self.files = {path: file for path, file in self.files.items() if path != event.path}
                self.version_description = ""
            case SkillCreated():
                self.name = event.name
                self.fields = SkillFields(*values_of(event))
                self.body = event.body
                self.outline = event.outline
                self.files = _by_path(event.files)
                self.version_description = event.version_description
                self.named_owners, self.tags = event.owners, event.tags
            case _:
                raise ValueError(f"a skill has no event {event.TOPIC}")


def _replaced(fields: SkillFields, given: tuple[Any, ...]) -> SkillFields:
    """``given`` are values of all fields, UNSET where the one of before stays."""
    return replace(
        fields, **{field: new for field, new in zip(FIELDS, given, strict=True) if new is not UNSET}
    )


def find_file(files: Mapping[str, FileRef], path: str, name: str) -> FileRef:
    """Raises NotFound with up to 3 close paths."""
    if path not in files:
        raise NotFound(f"The skill '{name}' has no file '{path}'.", suggestions=_close(path, files))
    return files[path]


def _close(path: str, paths: Iterable[str]) -> list[str]:
    """Up to 3 paths like this one, the closest first.

    Comparing two paths takes the square of their length, so those that share the most letters are compared, by their ends.
    """
    letters = Counter(path)
    shared = {other: 2 * (letters & Counter(other)).total() / (len(path) + len(other)) for other in paths}
    likely = [
        other
        for other in heapq.nlargest(MAX_COMPARED, shared, key=shared.__getitem__)
        if shared[other] >= 0.5
    ]
    ends = {other[-COMPARED_LENGTH:]: other for other in likely}
    return [ends[end] for end in difflib.get_close_matches(path[-COMPARED_LENGTH:], ends, n=3, cutoff=0.5)]


def _by_path(files: Sequence[FileRef]) -> dict[str, FileRef]:
    return {file.path: file for file in sorted(files, key=lambda file: file.path)}


def _body(body: str) -> Content:
    text = Content.of(body)
    if text.ref.size > MAX_CONTENT_BYTES:
        raise too_big(MAX_CONTENT_BYTES, attr="body")
    return text


def _outline(body: str) -> Content:
    headings = outline(body)
    if len(headings) > MAX_HEADINGS:
        raise Invalid(
            f"A body has at most {MAX_HEADINGS:,} headings; this has {len(headings):,}.",
            code="max_length",
            attr="body",
        )
    return Content.of(msgspec.json.encode(headings))


def _file_refs(files: Sequence[File | FileRef]) -> tuple[tuple[FileRef, ...], list[Content]]:
    refs: list[FileRef] = []
    contents: list[Content] = []
    for file in files:
        if isinstance(file, FileRef):
            refs.append(file)
            continue
        content = Content.of(file.content)
        refs.append(FileRef.of(file.path, file.content_type, content))
        contents.append(content)
    return tuple(refs), contents
