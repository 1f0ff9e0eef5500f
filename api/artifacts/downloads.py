"""A version of a skill as a zip: the answer that an export, ``/v1/skills`` and ClawHub have in common."""

from collections.abc import Iterable
from typing import Any

from litestar import Request

from api.access.recheck import while_allowed
from api.http import zips
from api.http.requests import header_of
from api.http.responses import REVALIDATE, Answer, Header, LongAnswer, not_modified, yanked
from api.services import services
from projections.read import packages
from projections.read.versions import Version


async def zip_answer(
    request: Request[Any, Any, Any],
    version: Version,
    *,
    in_folder: bool = True,
    extra: Iterable[Header] = (),
) -> Answer | LongAnswer:
    """The zip, or 304 when the client has it; a long one ends when its key does. ``in_folder``: below the skill's name, not at the root."""
    package = packages.package_of(version)
    headers: list[Header] = [
        (b"etag", zips.etag(package)),
        (b"cache-control", REVALIDATE),
        *yanked(version),
        *extra,
    ]
    if known := not_modified(header_of(request, b"if-none-match"), headers):
        return known
    headers.append((b"content-disposition", f'attachment; filename="{package.name}.zip"'.encode()))
    folder = package.name if in_folder else ""
    answer = await zips.answer(services(request).reader, package, headers, folder)
    if isinstance(answer, LongAnswer):
        answer = answer._replace(pieces=while_allowed(request, answer.pieces))
    return answer
