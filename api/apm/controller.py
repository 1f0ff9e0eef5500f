"""Skills for the package manager APM (``apm install``), below the address of a share: it sends no key over plain HTTP.

The address of the registry is ``/s/{share token}/apm``, every skill a package of the owner ``skald``.
"""

from typing import Annotated, Any, ClassVar

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath
from msgspec import Meta

from api.apm import packages as apm
from api.http import zips
from api.http.errors import documented
from api.http.requests import header_of, request_path
from api.http.responses import JSON, Answer, LongAnswer, not_modified, yanked
from api.openapi.parameters import route
from api.services import services
from api.sharing import well_known
from api.sharing.well_known import Shown
from domain.errors import NotFound
from domain.formats.semantic import number_of, semantic
from projections.encoding import etag_of, timestamp
from projections.read import packages, releases
from projections.read.releases import MAX_RELEASES

OWNER = "skald"
MARK = f"/apm/v1/packages/{OWNER}/"
PLACE = f"/s/{{share_token:str}}{MARK}{{skill_name:str}}/versions"


class ApmVersion(msgspec.Struct):
    """A version of a package; `digest` is the SHA-256 of the zip that its download gives."""

    version: Annotated[str, Meta(pattern=r"^1\.0\.[1-9][0-9]*$")]
    digest: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
    published_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    size_bytes: Annotated[int, Meta(ge=1)]


class ApmVersions(msgspec.Struct):
    """The versions of a package, the newest first."""

    EXAMPLES: ClassVar[dict[str, Any]] = {
        "two versions": {
            "package": "skald/pdf-forms",
            "versions": [
                {
                    "version": f"1.0.{number}",
                    "digest": f"sha256:{digest * 32}",
                    "published_at": f"2026-03-0{number}T09:30:00.000000Z",
                    "size_bytes": 2310,
                }
                for number, digest in ((2, "5f"), (1, "c0"))
            ],
        }
    }

    package: str
    versions: Annotated[list[ApmVersion], Meta(max_length=MAX_RELEASES)]


@get(
    PLACE,
    operation_id="shared_apm_versions_list",
    summary="Versions of a skill for APM",
    tags=["discovery"],
    opt={**route(""), "conditional": True},
    responses=documented(404, 429, 503),
)
async def versions(request: Request[Any, Any, Any], skill_name: FromPath[str]) -> Response[ApmVersions]:
    """`apm install` picks one of them. Of a share that serves a label it is the version that the label points to.

    At most the newest 1000, and no more than have 256 MiB together.
    """

    async def answer(shown: Shown) -> Answer:
        found = services(request)
        version = await found.discovery.version(shown, skill_name, None)
        only = None if shown.label is None else version.number
        read = await found.reads.ask(lambda conn: releases.releases(conn, version.stream_id, only))
        listed = apm.sized(read)
        async with found.discovery.alone(("apm", version.stream_id)):
            digests = await apm.digests(found, shown.project_id, skill_name, listed)
        rows = [
            ApmVersion(
                semantic(one.release.number),
                f"sha256:{digests[one.key].hex()}",
                timestamp(one.release.created_at),
                one.length,
            )
            for one in listed
            if one.key in digests
        ]
        body = msgspec.json.encode(ApmVersions(f"{OWNER}/{skill_name}", rows))
        return well_known.answer_of(request, body, etag_of(body), JSON[1])

    return await well_known.answered(request, answer, _renamed)


@get(
    f"{PLACE}/{{release:str}}/download",
    operation_id="shared_apm_package_retrieve",
    summary="Package of a skill for APM",
    tags=["discovery"],
    opt={**route("", produces=zips.ZIP.decode(), yanks=True), "conditional": True},
    responses=documented(404, 429, 503),
)
async def download(
    request: Request[Any, Any, Any], skill_name: FromPath[str], release: FromPath[str]
) -> Response[bytes]:
    """A zip with a generated `apm.yml`, SKILL.md and the files at its root. The same version is the same bytes."""

    async def answer(shown: Shown) -> Answer | LongAnswer:
        number = number_of(release)
        if number is None:
            raise NotFound(
                "There is no such version; they are 1.0.1, 1.0.2 and so on, and the list has them."
            )
        found = services(request)
        version = await found.discovery.version(shown, skill_name, number)
        package = packages.package_of(version)
        manifest = apm.manifest_of_version(version, package.name)
        headers = [
            *well_known.headers_of(request, etag_of(apm.key_of(manifest, package.digest))),
            *yanked(version),
        ]
        if known := not_modified(header_of(request, b"if-none-match"), headers):
            return well_known.counted(request, package, known)
        headers.append((b"content-type", zips.ZIP))
        length = apm.length_of(manifest, packages.listed(package))
        made = apm.pieces(found.reader, package, manifest)
        if length > zips.WHOLE:
            return well_known.counted(request, package, LongAnswer(200, headers, length, made))
        body = b"".join([piece async for piece in made])
        return well_known.counted(request, package, Answer(200, headers, body))

    return await well_known.answered(request, answer, _renamed)


def _renamed(request: Request[Any, Any, Any], new_name: str) -> str:
    start, mark, rest = request_path(request).partition(MARK)
    return f"{start}{mark}{new_name}/{rest.partition('/')[2]}"


HANDLERS = [versions, download]
