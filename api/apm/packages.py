"""A skill as a package of APM: a zip of a generated ``apm.yml``, SKILL.md and the files, the same bytes for the same version."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256

import msgspec
from psycopg.errors import DiskFull, InsufficientPrivilege, ReadOnlySqlTransaction

from api.services import Services
from domain.artifacts.skills import Details, Skill
from domain.content import Ref
from domain.errors import NotFound
from domain.formats.archives import ZipWriter, zip_size
from domain.formats.semantic import semantic
from domain.formats.skill_md import quoted
from projections.read import discovery, packages
from projections.read.packages import Contents, Package
from projections.read.releases import Release
from projections.read.versions import Version

MANIFEST = "apm.yml"
# Counts up when equal versions come to give other bytes.
FORM = b"apm1:"
# Bytes of the zips that one list names: their digests are computed when it is first asked for, within some seconds. What comes
# behind, the older versions of a very large skill, is not listed.
MAX_LISTED = 256 * 2**20
BATCH = 50  # digests that are stored together


class Sized(msgspec.Struct, frozen=True):
    """A release, with the manifest and the length of its zip."""

    release: Release
    manifest: bytes
    length: int

    @property
    def key(self) -> bytes:
        """What the bytes of the zip follow from."""
        return key_of(self.manifest, self.release.digest)


def manifest_of(name: str, number: int, description: str) -> bytes:
    return f"name: {quoted(name)}\nversion: {quoted(semantic(number))}\ndescription: {quoted(description)}\n".encode()


def manifest_of_version(version: Version, name: str) -> bytes:
    details = msgspec.json.decode(version.details, type=Details)
    return manifest_of(name, version.number, details.description)


def key_of(manifest: bytes, tree: str) -> bytes:
    return sha256(FORM + tree.encode() + b"\n" + manifest).digest()


def is_packed(path: str) -> bool:
    """Whether a file of a skill is in the package: one that would stand in the place of the manifest is not."""
    return path.partition("/")[0].lower() != MANIFEST


def length_of(manifest: bytes, listed: Iterable[tuple[str, Ref]]) -> int:
    kept = ((path, ref.size) for path, ref in listed if is_packed(path))
    return zip_size([(MANIFEST, len(manifest)), *kept])


async def pieces(source: Contents, package: Package, manifest: bytes) -> AsyncIterator[bytes]:
    """The zip, a file or less at a time."""
    writer = ZipWriter()
    yield writer.add(MANIFEST, manifest)
    async for path, data in packages.files(source, package):
        if is_packed(path):
            yield writer.add(path, data)
    yield writer.end()


def sized(found: Sequence[Release]) -> list[Sized]:
    """The releases that are listed: the first always is."""
    listed: list[Sized] = []
    room = MAX_LISTED
    for release in found:
        manifest = manifest_of(release.name, release.number, release.description)
        length = length_of(manifest, release.listed)
        room -= length
        if room < 0 and listed:
            break
        listed.append(Sized(release, manifest, length))
    return listed


async def digests(found: Services, project_id: int, name: str, listed: Sequence[Sized]) -> dict[bytes, bytes]:
    """The SHA-256 of each zip by its key. Those that were not asked for before are computed, and stored."""
    known = await found.reads.ask(lambda conn: discovery.archive_digests(conn, [one.key for one in listed]))
    missing = [one for one in listed if one.key not in known]
    for start in range(0, len(missing), BATCH):
        made = {}
        for one in missing[start : start + BATCH]:
            try:
                version = await found.reader.version(project_id, Skill.KIND, name, one.release.number)
            except NotFound:
                continue  # archived since
            digest = sha256()
            async for piece in pieces(found.reader, packages.package_of(version), one.manifest):
                digest.update(piece)
            made[one.key] = digest.digest()
        # A database that takes no writes is still read: the digests are computed again then.
        with suppress(ReadOnlySqlTransaction, InsufficientPrivilege, DiskFull):
            async with found.pool.connection() as conn:
                await discovery.keep_archive_digests(conn, made)
        known |= made
    return known
