"""Several skills in one zip: ``…/llm_skills/bundle/``."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get

from api.artifacts import common as artifacts
from api.counting.doors import ZIP
from api.http import zips
from api.http.errors import documented
from api.http.requests import header_of, project_of, public, query_of, request_path
from api.http.responses import REVALIDATE, Answer, Header, to_response, typed_answer
from api.openapi.parameters import Param, integer, route
from api.services import services
from domain.artifacts.skills import Skill
from domain.errors import NotFound
from domain.formats.archives import ZipWriter, zip_size
from projections.encoding import etag_of
from projections.read import packages, versions
from projections.read.packages import SKILL_MD, Contents, Package
from projections.read.versions import PageQuery

READ = "llm_skill:read"
KIND = Skill.KIND

STUB, FULL = CONTENTS = ("stub", "full")
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
MAX_BYTES = 5_000_000  # of the zip, which is made whole before it is sent
BATCH = 10  # skills whose bodies are in memory at once, of 1 MB at most each

CONTENT = Param(
    "content",
    {"type": "string", "enum": list(CONTENTS), "default": STUB},
    "`stub` has the frontmatter of each SKILL.md and how to fetch the rest; `full` has SKILL.md and all files.",
    FULL,
)
LIMIT = Param("limit", integer(1, MAX_LIMIT, default=DEFAULT_LIMIT), "How many skills to take.", 5)

COUNTS = {
    "X-Skills-Included": "How many skills are in the zip.",
    "X-Skills-Dropped": "How many would have made the zip larger than 5 MB.",
    "X-Skills-Skipped": "How many have no package to export.",
}

STUB_BODY = """
This is a stub: the rest of the skill is in the registry. Fetch it before you use the skill:

- `GET {address}/name/{name}/skill-md/` is SKILL.md, `…/export/` a zip with all files
- the MCP tool `get_skill` with `"skill_name": "{name}"`
- `skald pull {name}`
"""


class BundlesController(Controller):
    path = "/llm_skills"
    tags = ("packages",)
    guards = (artifacts.guard,)

    @get(
        "/bundle",
        operation_id="llm_skills_bundle_retrieve",
        summary="Export several skills",
        opt=route(READ, query=(CONTENT, LIMIT), produces=zips.ZIP.decode(), counts=COUNTS),
        responses=documented(400, 401, 403, 404, 429, 503),
    )
    async def bundle(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """A zip of the skills whose latest version is the newest, each in a folder of its name.

        It has at most 5 MB: a skill that does not fit is left out, and smaller ones behind it may still come.
        """
        query = query_of(request)
        full = query.choice("content", CONTENTS) == FULL
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
        reader, address = services(request).reader, _address(request)
        bundle = Bundle()
        async for package in _newest(request, limit):
            if package is None:
                bundle.skipped += 1
            elif full:
                await bundle.add(reader, package)
            else:
                bundle.add_stub(package, address)
        answer = bundle.answer(header_of(request, b"if-none-match"))
        for version_id in bundle.version_ids:
            services(request).read_counter.count(
                request.scope, KIND, version_id, door=ZIP, unchanged=answer.status == 304
            )
        return to_response(answer)


class Bundle:
    """A zip of skills as it grows, and what could not be in it."""

    def __init__(self) -> None:
        self.dropped = self.skipped = 0
        self.version_ids: list[UUID] = []  # of the skills that it has
        self._writer = ZipWriter()
        self._pieces: list[bytes] = []
        self._room = MAX_BYTES - zip_size(())

    async def add(self, source: Contents, package: Package) -> None:
        """SKILL.md and all files."""
        listed = [(f"{package.name}/{path}", ref.size) for path, ref in packages.listed(package)]
        if self._has_room(package, listed):
            async for path, data in packages.files(source, package):
                self._pieces.append(self._writer.add(f"{package.name}/{path}", data))

    def add_stub(self, package: Package, address: str) -> None:
        """The frontmatter, and where the rest is."""
        path = f"{package.name}/{SKILL_MD}"
        data = package.head + STUB_BODY.format(name=package.name, address=address).encode()
        if self._has_room(package, [(path, len(data))]):
            self._pieces.append(self._writer.add(path, data))

    def answer(self, if_none_match: bytes | None) -> Answer:
        body = b"".join([*self._pieces, self._writer.end()])
        counts = (len(self.version_ids), self.dropped, self.skipped)
        headers: list[Header] = [
            (b"etag", etag_of(b"%d %d %d\n" % counts + body)),
            (b"cache-control", REVALIDATE),
            (b"content-disposition", b'attachment; filename="skills.zip"'),
            *((name.lower().encode(), b"%d" % count) for name, count in zip(COUNTS, counts, strict=True)),
        ]
        return typed_answer(zips.ZIP, body, if_none_match, headers)

    def _has_room(self, package: Package, listed: list[tuple[str, int]]) -> bool:
        needed = zip_size(listed) - zip_size(())
        if needed > self._room:
            self.dropped += 1
            return False
        self._room -= needed
        self.version_ids.append(package.version_id)
        return True


async def _newest(request: Request[Any, Any, Any], limit: int) -> AsyncIterator[Package | None]:
    """The skills whose latest version is the newest; None for one that has no package yet or has just been archived."""
    project_id, reader = project_of(request), services(request).reader
    wanted = PageQuery(search=None, author_id=None, order=versions.DEFAULT_ORDER, limit=limit, offset=0)
    async with services(request).pool.connection() as conn:
        _, rows = await versions.page(conn, project_id, KIND, wanted)
    for start in range(0, len(rows), BATCH):
        asked = [reader.version(project_id, KIND, row.name) for row in rows[start : start + BATCH]]
        for found in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(found, NotFound):
                yield None
            elif isinstance(found, BaseException):
                raise found
            else:
                yield None if found.package is None else packages.package_of(found)


def _address(request: Request[Any, Any, Any]) -> str:
    """Where the skills of the project are."""
    path = request_path(request).rstrip("/").removesuffix("/bundle")
    return public(request).base(request.scope) + path
