"""Skills as they are installed: SKILL.md and the files, the one source of every way out of the registry.

Archives, discovery and all others are made from ``files``, so that all of them serve the same bytes under one digest.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.artifacts.skills import FileRef
from domain.content import Ref
from domain.formats import skill_md
from domain.formats.spec import Problem
from projections.read.skills import packed, read_manifest, read_package
from projections.read.versions import Version

SKILL_MD = "SKILL.md"
BATCH_BYTES = 2_000_000  # bytes of files


class Contents(Protocol):
    """A store of contents by digest, such as the cache of an API process."""

    async def contents(self, digests: list[bytes]) -> Mapping[bytes, bytes]: ...


class Package(msgspec.Struct, frozen=True):
    """One version of a skill; ``head`` and ``body`` are its SKILL.md, whose digest ``skill_md`` is.

    ``name`` is the one that SKILL.md says, as a folder needs it: of an earlier version, that of before a rename.
    """

    name: str
    number: int
    version_id: UUID
    created_at: datetime
    created_by: int | None
    digest: str
    head: bytes
    skill_md: Ref
    body: bytes
    files: tuple[FileRef, ...]
    spec_problems: tuple[Problem, ...] = ()

    @property
    def document(self) -> bytes:
        """SKILL.md."""
        return self.head + self.body


class _Author(msgspec.Struct):
    id: int


_author = msgspec.json.Decoder(_Author | None)


def package_of(version: Version) -> Package:
    """The package of a version of a skill, as read."""
    summary, head = read_package(packed(version))
    author = _author.decode(version.author)
    return Package(
        name=skill_md.name_of(head),
        number=version.number,
        version_id=version.id,
        created_at=version.created_at,
        created_by=author.id if author else None,
        digest=summary.digest,
        head=head,
        skill_md=summary.skill_md,
        body=version.body,
        files=tuple(read_manifest(version.manifest or b"[]").values()),
        spec_problems=tuple(summary.spec_problems),
    )


async def files(source: Contents, package: Package) -> AsyncIterator[tuple[str, bytes]]:
    """SKILL.md and all files with their bytes, sorted by path; no more than ``BATCH_BYTES`` and a file are in memory."""
    for batch in _batches(listed(package)):
        read = await source.contents(list({ref.digest for path, ref in batch if path != SKILL_MD}))
        for path, ref in batch:
            yield path, package.document if path == SKILL_MD else read[ref.digest]


def _batches(found: Sequence[tuple[str, Ref]]) -> Iterator[Sequence[tuple[str, Ref]]]:
    start = size = 0
    for index, (_, ref) in enumerate(found):
        size += ref.size
        if size > BATCH_BYTES:
            yield found[start : index + 1]
            start, size = index + 1, 0
    yield found[start:]


def listed(package: Package) -> Sequence[tuple[str, Ref]]:
    """The same without the bytes: the paths, sorted, with their digests and sizes."""
    return sorted([(SKILL_MD, package.skill_md), *((file.path, file.ref) for file in package.files)])
