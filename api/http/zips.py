"""Skills as zips. A skill that grew file by file may have 200 MB, so a large zip is sent while it is made."""

from collections.abc import AsyncIterator

from api.http.responses import Answer, Header, LongAnswer
from domain.formats.archives import ZipWriter, zip_size
from projections.encoding import etag_of
from projections.read import packages
from projections.read.packages import Contents, Package

ZIP = b"application/zip"
# Counts up when equal skills come to give other bytes.
ZIP_FORM = b"zip1:"
WHOLE = 1024 * 1024  # bytes up to which a zip is made before it is sent, so that no fault cuts it off


def etag(package: Package) -> bytes:
    """The entity tag of its zip: known before that is made."""
    return etag_of(ZIP_FORM + package.digest.encode())


async def pieces(source: Contents, package: Package, folder: str = "") -> AsyncIterator[bytes]:
    """SKILL.md and all files in ``folder``: the same bytes for the same files, a file or less at a time."""
    writer = ZipWriter(folder)
    async for path, data in packages.files(source, package):
        yield writer.add(path, data)
    yield writer.end()


async def answer(
    source: Contents, package: Package, headers: list[Header], folder: str = ""
) -> Answer | LongAnswer:
    """The zip, with its content type beside ``headers``."""
    headers = [(b"content-type", ZIP), *headers]
    listed = ((path, ref.size) for path, ref in packages.listed(package))
    length, made = zip_size(listed, folder), pieces(source, package, folder)
    if length > WHOLE:
        return LongAnswer(200, headers, length, made)
    return Answer(200, headers, b"".join([piece async for piece in made]))
