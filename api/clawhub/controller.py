"""What the command line of ClawHub reads (``clawhub install``, ``search``, ``update``, ``inspect``): the skills of the project of its key.

The owner in its addresses, if it names one, does not count: a project has one name space. Version N is 1.0.N.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, HttpMethod, Request, Response, delete, get, post
from litestar import route as route_of
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, RawBody

from api.access.authenticate import CURRENT
from api.artifacts import commands as changes
from api.artifacts import yanks
from api.artifacts.common import Command
from api.artifacts.downloads import zip_answer
from api.artifacts.fields import PATH_PATTERN
from api.clawhub import schemas as claw
from api.clawhub.fingerprints import fingerprints
from api.commands.caller import caller_of
from api.counting.doors import CLAWHUB
from api.counting.reads import counted
from api.http import conditional, requests, zips
from api.http.answers import rendered
from api.http.context import context, let_in
from api.http.errors import documented
from api.http.pages import MAX_OFFSET
from api.http.query import Query
from api.http.requests import header_of, project_of, query_of
from api.http.responses import (
    REVALIDATE,
    Header,
    json_answer,
    to_response,
    typed_answer,
    yanked,
)
from api.openapi.parameters import Param, integer, route
from api.payload.decode import ignore, read
from api.search.controller import found_by
from api.services import services
from domain.artifacts.skills import Skill
from domain.content import MAX_PATH_LENGTH, normal_path
from domain.errors import Invalid, NotFound, VersionNotFound
from domain.formats.semantic import number_of, semantic
from domain.names import MAX_LABEL, MAX_SKILL_NAME
from projections.encoding import etag_of
from projections.read import packages, releases, versions
from projections.read.packages import SKILL_MD
from projections.read.releases import Release
from projections.read.skills import VersionDetails, read_manifest
from projections.read.versions import MAX_VERSION, PageQuery, Row, Version
from projections.search import find, terms
from projections.search.terms import MAX_QUERY
from store.tables.identity import Principal

KIND = Skill.KIND
READ, WRITE = f"{Skill.SCOPE}:read", f"{Skill.SCOPE}:write"
LATEST = "latest"
OWNER = "skald"
PREFIX = "/api/v1"
INSTALL = "install"
BYTES = b"application/octet-stream"
MAX_LIMIT, DEFAULT_LIMIT = 200, 25
MAX_RELEASE = len(semantic(MAX_VERSION))
# About what the manifest of a version takes for each of its files.
LINE = 100

HASH = re.compile(r"[0-9a-f]{64}")
# What a client may not put into a path, or takes for something else in a mail address.
UNSAFE = re.compile(r"[^a-z0-9@._+-]+|\.\.+")

Q = Param(
    "q",
    {"type": "string", "minLength": 1, "maxLength": MAX_QUERY},
    "What to look for.",
    "forms",
    required=True,
)
LIMIT = Param("limit", integer(1, MAX_LIMIT, DEFAULT_LIMIT), "How many skills at most.", 25)
SLUG = Param(
    "slug",
    {"type": "string", "minLength": 1, "maxLength": 64},
    "The name of a skill.",
    "pdf-forms",
    required=True,
)
FILE = Param(
    "path",
    {"type": "string", "minLength": 1, "maxLength": MAX_PATH_LENGTH, "pattern": PATH_PATTERN},
    "`SKILL.md`, or the path of a file.",
    "scripts/fill.py",
    required=True,
)
PREFIX_OF = Param("prefix", {"type": "string", "maxLength": MAX_SKILL_NAME}, "How their names begin.", "pdf")
CURSOR = Param("cursor", integer(0, MAX_OFFSET), "`nextCursor` of the page before.", 0)
VERSION = Param(
    "version",
    {"type": "string", "maxLength": MAX_RELEASE, "pattern": r"^1\.0\.[1-9][0-9]*$"},
    "Which version; the latest when absent.",
    "1.0.1",
)
TAG = Param(
    "tag",
    {"type": "string", "maxLength": MAX_LABEL},
    "The version that this label points to, or `latest`; excludes `version`.",
)
FINGERPRINT = Param(
    "hash",
    {"type": "string", "maxLength": 64, "pattern": claw.SHA256},
    "The SHA-256 over the lines `path:sha256` of a folder, sorted by path, with a line end between them.",
    "5f" * 32,
    required=True,
)

ERRORS = documented(400, 401, 403, 404, 429, 503)
PICKED = documented(400, 401, 403, 404, 410, 429, 503)
DELETES = documented(400, 401, 403, 404, 409, 413, 415, 429, 503)
RESTORES = documented(400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
# The client says why of whole skills alone, of which an archive keeps no reason.
DELETED = "Deleted by clawhub."


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Lets a request into the project of its key."""
    authorizer = services(connection).authorizer
    principal, number = await authorizer.enter_project(connection.scope, CURRENT, handler.opt["scope"])
    let_in(connection, principal, number)


@get(
    "/.well-known/clawhub.json",
    operation_id="clawhub_retrieve",
    summary="Where the ClawHub registry is",
    tags=["clawhub"],
    opt={**route(""), "conditional": True},
)
async def well_known(request: Request[Any, Any, Any]) -> Response[claw.WellKnown]:
    """`clawhub --site` asks for it. No key is needed."""
    base = requests.base(request)
    return conditional.answer(request, msgspec.json.encode(claw.WellKnown(base, base)))


@get(
    f"{PREFIX}/whoami",
    operation_id="clawhub_whoami_retrieve",
    summary="Who the key belongs to, for ClawHub",
    tags=["clawhub"],
    opt=route(""),
    responses=documented(401, 429, 503),
)
async def whoami(request: Request[Any, Any, Any]) -> Response[claw.WhoAmI]:
    """Needs a key, no scope."""
    principal = await services(request).authorizer.authorize(request.scope)
    return conditional.answer(request, msgspec.json.encode(claw.WhoAmI(_user(principal))))


class ClawHubController(Controller):
    """Needs a key with the scope that a route names."""

    path = PREFIX
    tags = ("clawhub",)
    guards = (guard,)

    @get(
        "/search",
        operation_id="clawhub_search_list",
        summary="Find skills, for ClawHub",
        opt=route(READ, query=(Q, LIMIT)),
        responses=ERRORS,
    )
    async def search(self, request: Request[Any, Any, Any]) -> Response[claw.ClawHits]:
        """As `llm_skills/search`: skills that have some of the words follow those that have all."""
        query = query_of(request)
        text = query.text("q", max_length=MAX_QUERY)
        if text is None:
            raise Invalid("Say what to look for.", code="blank" if "q" in query else "required", attr="q")
        limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
        wanted = find.Query(
            project_id=project_of(request), text=text, terms=terms.parse(text), kinds=[KIND], partly=True
        )
        shown, _ = await found_by(request, wanted, limit, None)
        hits = [
            claw.ClawHit(
                one.hit.name,
                OWNER,
                one.hit.name,
                one.description,
                semantic(one.hit.version),
                one.hit.score / find.SCALE,
            )
            for one in shown
        ]
        return conditional.answer(request, msgspec.json.encode(claw.ClawHits(hits)))

    @get(
        "/skills/{skill_slug:str}",
        operation_id="clawhub_skills_retrieve",
        summary="Get a skill, for ClawHub",
        opt=route(READ),
        responses=ERRORS,
    )
    async def skill(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str]
    ) -> Response[claw.ClawSkillAnswer]:
        """With its latest version. A former name gives the skill, with its name of now as `slug`."""
        version = await _version(request, skill_slug)
        details = _details(version)
        latest = semantic(version.number)
        labels = await services(request).reads.ask(
            lambda conn: releases.tags(conn, project_of(request), [version.name])
        )
        shown = claw.ClawSkill(
            slug=version.name,
            display_name=version.name,
            summary=details.description,
            description=details.description,
            tags=_tags(latest, labels[version.name]),
            stats={},
            created_at=_millis(version.first_at),
            updated_at=_millis(version.created_at),
        )
        row = claw.ClawVersionRow(latest, _millis(version.created_at), details.version_description)
        answer = claw.ClawSkillAnswer(shown, row, None, claw.ClawOwner(OWNER, None, None), None)
        return conditional.answer(request, msgspec.json.encode(answer))

    @delete(
        "/skills/{skill_slug:str}",
        operation_id="clawhub_skills_destroy",
        summary="Delete a skill, for ClawHub",
        opt=route(WRITE),
        responses=DELETES,
        status_code=200,
    )
    async def remove(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str], body: RawBody
    ) -> Response[claw.Fine]:
        """Archives it, with all its versions. `undelete` brings it back."""
        return await _changed(request, body, changes.archive(context(request), Skill, skill_slug))

    @post(
        "/skills/{skill_slug:str}/undelete",
        operation_id="clawhub_skills_undelete_create",
        summary="Bring a deleted skill back, for ClawHub",
        opt=route(WRITE),
        responses=RESTORES,
        status_code=200,
    )
    async def bring_back(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str], body: RawBody
    ) -> Response[claw.Fine]:
        """The one of this name that was archived last, without its labels."""
        return await _changed(request, body, changes.restore(context(request), Skill, skill_slug, None))

    @get(
        "/skills/{skill_slug:str}/versions",
        operation_id="clawhub_skills_versions_list",
        summary="List versions of a skill, for ClawHub",
        opt=route(READ, query=(LIMIT,)),
        responses=ERRORS,
    )
    async def versions(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str]
    ) -> Response[claw.ClawVersions]:
        """The newest ones."""
        limit = query_of(request).integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
        found = await _releases(request, await _version(request, skill_slug))
        rows = [claw.ClawVersionRow(semantic(one.number), _millis(one.created_at), one.note) for one in found]
        return conditional.answer(request, msgspec.json.encode(claw.ClawVersions(rows[:limit], None)))

    @get(
        "/skills/{skill_slug:str}/versions/{release:str}",
        operation_id="clawhub_skills_versions_retrieve",
        summary="Get a version of a skill, for ClawHub",
        opt=route(READ, yanks=True),
        responses=ERRORS,
    )
    async def version(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str], release: FromPath[str]
    ) -> Response[claw.ClawVersionAnswer]:
        """With the files that its zip has."""
        version = await _version(request, skill_slug, release)
        package = packages.package_of(version)
        types = {path: file.content_type for path, file in read_manifest(version.manifest or b"[]").items()}
        files = [
            claw.ClawFile(path, ref.size, ref.sha256, types.get(path, "text/markdown"))
            for path, ref in packages.listed(package)
        ]
        row = claw.ClawVersion(
            semantic(version.number),
            _millis(version.created_at),
            _details(version).version_description,
            files,
        )
        answer = claw.ClawVersionAnswer(row, claw.ClawSkillRef(version.name, version.name))
        return conditional.answer(request, msgspec.json.encode(answer), extra=yanked(version))

    @delete(
        "/skills/{skill_slug:str}/versions/{release:str}",
        operation_id="clawhub_skills_versions_destroy",
        summary="Delete a version of a skill, for ClawHub",
        opt=route(WRITE, logged=None),
        responses=DELETES,
        status_code=200,
    )
    async def remove_version(
        self,
        request: Request[Any, Any, Any],
        skill_slug: FromPath[str],
        release: FromPath[str],
        body: RawBody,
    ) -> Response[claw.Fine]:
        """It is yanked: out of what is listed and installed. 409 for the last one that is not."""
        number = await _number(request, skill_slug, release)
        return await _changed(request, body, yanks.yank(context(request), Skill, skill_slug, number, DELETED))

    @post(
        "/skills/{skill_slug:str}/versions/{release:str}/restore",
        operation_id="clawhub_skills_versions_restore_create",
        summary="Bring a deleted version of a skill back, for ClawHub",
        opt=route(WRITE, logged=None),
        responses=RESTORES,
        status_code=200,
    )
    async def bring_version_back(
        self,
        request: Request[Any, Any, Any],
        skill_slug: FromPath[str],
        release: FromPath[str],
        body: RawBody,
    ) -> Response[claw.Fine]:
        """It is a version like any other again, whichever door has yanked it."""
        number = await _number(request, skill_slug, release)
        return await _changed(request, body, yanks.unyank(context(request), Skill, skill_slug, number))

    @route_of(
        "/stars/{skill_slug:str}",
        http_method=[HttpMethod.POST, HttpMethod.DELETE],
        opt=route(READ),
        include_in_schema=False,
        status_code=200,
    )
    async def star(
        self, request: Request[Any, Any, Any], skill_slug: FromPath[str], body: RawBody
    ) -> Response[claw.Fine]:
        """Said in words: clients show them."""
        raise NotFound(
            f"This registry keeps no stars, of '{skill_slug[:MAX_SKILL_NAME]}' as of any other skill."
        )

    @get(
        "/skills/{skill_slug:str}/file",
        operation_id="clawhub_skills_file_retrieve",
        summary="Get a file of a skill, for ClawHub",
        opt=route(READ, query=(FILE, VERSION, TAG), produces=BYTES.decode(), yanks=True),
        responses=PICKED,
    )
    async def file(self, request: Request[Any, Any, Any], skill_slug: FromPath[str]) -> Response[bytes]:
        """SKILL.md or one of the files, byte for byte. It counts as a read by the door `clawhub`."""
        query = query_of(request)
        path = query.text("path", max_length=MAX_PATH_LENGTH, trim=False)
        if path is None:
            raise Invalid("Name a file.", code="required", attr="path")
        version = await _version(request, skill_slug, query.text("version"), _tag(query))
        try:
            path = path if path == SKILL_MD else normal_path(path)
        except Invalid as error:
            raise error.within("path") from None
        data = await services(request).discovery.content(packages.package_of(version), path)
        headers = [
            (b"etag", etag_of(data)),
            (b"cache-control", REVALIDATE),
            (b"x-content-type-options", b"nosniff"),
            *yanked(version),
        ]
        answer = typed_answer(BYTES, data, header_of(request, b"if-none-match"), headers)
        return counted(request, KIND, version, to_response(answer), door=CLAWHUB)

    @get(
        "/download",
        operation_id="clawhub_download_retrieve",
        summary="Download a skill, for ClawHub",
        opt=route(READ, query=(SLUG, VERSION, TAG), produces=zips.ZIP.decode(), yanks=True),
        responses=PICKED,
    )
    async def download(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """A zip with SKILL.md and the files at its root. What counts as a read is the report of the install."""
        query = query_of(request)
        version = await _version(request, _slug(request), query.text("version"), _tag(query))
        return to_response(await zip_answer(request, version, in_folder=False))

    @get(
        "/resolve",
        operation_id="clawhub_resolve_retrieve",
        summary="Find the version of a folder, for ClawHub",
        opt=route(READ, query=(SLUG, FINGERPRINT)),
        responses=ERRORS,
    )
    async def resolve(self, request: Request[Any, Any, Any]) -> Response[claw.ClawResolved]:
        """Among the newest 1000. Files that begin with a dot, or lie in such a folder, may be counted or not."""
        slug, wanted = _slug(request), query_of(request).text("hash")
        if wanted is None or not HASH.fullmatch(wanted):
            raise Invalid("This must be a SHA-256 in lower-case hex.", attr="hash")
        latest = await _version(request, slug)
        found = await _releases(request, latest)
        size = LINE * sum(len(one.listed) for one in found)
        match = await rendered(
            size, lambda: next((one for one in found if wanted in fingerprints(one.listed)), None)
        )
        answer = claw.ClawResolved(
            None if match is None else claw.ClawRelease(semantic(match.number)),
            claw.ClawRelease(semantic(latest.number)),
        )
        return conditional.answer(request, msgspec.json.encode(answer))


@post(
    "/api/cli/telemetry/install",
    guards=[guard],
    operation_id="clawhub_install_create",
    summary="Report an install by ClawHub",
    tags=["clawhub"],
    opt=route(READ, body=claw.ReportInstall, logged=False),
    responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
    status_code=200,
)
async def report_install(request: Request[Any, Any, Any], body: RawBody) -> Response[claw.Fine]:
    """Counts as a read of that version by the door `clawhub`."""
    sent = await read(claw.ReportInstall, body, header_of(request, b"content-type"))
    if sent.event == INSTALL:
        version = await _version(request, sent.slug, sent.version)
        services(request).read_counter.count(request.scope, KIND, version, door=CLAWHUB)
    return conditional.answer(request, msgspec.json.encode(claw.Fine(True)))


async def listed(request: Request[Any, Any, Any]) -> claw.ClawSkills:
    """A page of skills. Raises Invalid."""
    query = query_of(request)
    limit = query.integer("limit", minimum=1, maximum=MAX_LIMIT) or DEFAULT_LIMIT
    offset = query.integer("cursor", minimum=0, maximum=MAX_OFFSET) or 0
    prefix = query.text("prefix", max_length=MAX_SKILL_NAME)
    wanted = PageQuery(
        search=prefix, author_id=None, order=versions.DEFAULT_ORDER, limit=limit, offset=offset
    )
    async with services(request).pool.connection() as conn:
        count, rows = await versions.page(conn, project_of(request), KIND, wanted)
        labels = await releases.tags(conn, project_of(request), [row.name for row in rows])
    following = offset + len(rows)
    shown = [_item(row, labels[row.name]) for row in rows if prefix is None or row.name.startswith(prefix)]
    return claw.ClawSkills(shown, str(following) if rows and following < count else None)


def _item(row: Row, labels: Mapping[str, int]) -> claw.ClawItem:
    details = _details(row)
    latest = claw.ClawVersionRow(semantic(row.number), _millis(row.created_at), details.version_description)
    return claw.ClawItem(
        slug=row.name,
        display_name=row.name,
        summary=details.description,
        description=details.description,
        tags=_tags(latest.version, labels),
        stats={},
        created_at=_millis(row.first_at),
        updated_at=latest.created_at,
        latest_version=latest,
    )


def _tags(latest: str, labels: Mapping[str, int]) -> dict[str, str]:
    return {"latest": latest, **{label: semantic(number) for label, number in labels.items()}}


def _tag(query: Query) -> str | None:
    """The label that a query picks by. Raises Invalid."""
    label = query.text("tag", max_length=MAX_LABEL)
    if label is not None and "version" in query:
        raise Invalid("Send version or tag, not both.", attr="tag")
    return None if label == LATEST else label


async def _number(request: Request[Any, Any, Any], slug: str, release: str) -> int:
    """Raises NotFound, VersionNotFound."""
    number = number_of(release)
    if number is None:
        raise VersionNotFound(KIND, slug, release, [(await _version(request, slug)).number])
    return number


async def _changed(request: Request[Any, Any, Any], body: bytes, command: Command) -> Response[claw.Fine]:
    """Execute it, or find what it did before. What the body says counts for nothing here."""
    await ignore(body, header_of(request, b"content-type"))
    caller, commands = await caller_of(context(request), body), services(request).commands
    try:
        async with commands.once(caller) as before:
            done = before or await command(caller, commands)
    except NotFound as missing:
        raise _named(missing) from None
    headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
    if done.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return to_response(
        json_answer(msgspec.json.encode(claw.Fine(True)), cache_control=b"no-store", extra=headers)
    )


def _named(missing: NotFound) -> NotFound:
    """By these words a client knows that there is no such skill, as where it publishes the first version."""
    if "suggestions" not in missing.extra:
        return missing
    return NotFound(f"Skill not found: {missing.detail}", suggestions=missing.extra["suggestions"])


async def _version(
    request: Request[Any, Any, Any], slug: str, release: str | None = None, label: str | None = None
) -> Version:
    """The latest version, that of a release, or that of a label, also by a former name. Raises NotFound, Yanked."""
    number = None if release is None else number_of(release)
    try:
        found = await services(request).reader.version_led_to(
            project_of(request), KIND, slug, label if number is None else min(number, MAX_VERSION)
        )
    except NotFound as missing:
        raise _named(missing) from None
    if release is not None and number is None:
        raise VersionNotFound(KIND, slug, release, [found.number])
    return found


async def _releases(request: Request[Any, Any, Any], version: Version) -> list[Release]:
    return await services(request).reads.ask(lambda conn: releases.releases(conn, version.stream_id))


def _slug(request: Request[Any, Any, Any]) -> str:
    query = query_of(request)
    slug = query.text("slug", max_length=MAX_SKILL_NAME)
    if slug is None:
        raise Invalid("Name a skill.", code="blank" if "slug" in query else "required", attr="slug")
    return slug


def _details(version: Version | Row) -> VersionDetails:
    return msgspec.json.decode(version.details, type=VersionDetails)


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _user(principal: Principal) -> claw.ClawUser:
    user = principal.user
    name = f"{user.first_name} {user.last_name}".strip()
    return claw.ClawUser(UNSAFE.sub("-", user.email.lower()) or None, name or None, None, None)
