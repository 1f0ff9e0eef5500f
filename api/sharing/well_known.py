"""Discovery: the skills of a project at a well-known address, for installers that send no key.

Below ``/s/{share token}`` for the project of the share, at the origin for the one that the operator has named. The token is
a secret in an address, so it stays out of logs (they have the template of the route), of caches that others read, and of
``Referer``. Any web page may read what is here (``Access-Control-Allow-Origin: *``): the address is the whole credential, no
cookie or header adds to it, so a page learns nothing that its author could not fetch without it. There is no preflight: a
plain GET needs none. Files are sent as text or bytes, never as a type that a browser would run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import UUID

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import Method
from psycopg.errors import DiskFull, InsufficientPrivilege, ReadOnlySqlTransaction

from api.access.attempts import FailedAttempts, client_id
from api.access.rate_limit import RateLimiter
from api.access.recheck import recheck, while_allowed
from api.cache.lru import LRU
from api.cache.reader import RepresentationCache
from api.cache.reads import Reads
from api.commands.locks import Hold, KeyedLocks
from api.counting.doors import DISCOVERY
from api.http import requests, zips
from api.http.answers import rendered
from api.http.context import record
from api.http.errors import documented, render
from api.http.proxies import TrustedProxies
from api.http.requests import as_uuid, header_of, query_of
from api.http.responses import (
    JSON,
    Answer,
    Header,
    LongAnswer,
    not_modified,
    to_response,
    typed_answer,
    yanked,
)
from api.openapi.parameters import Param, route
from api.services import services
from api.sharing.controller import ShareTokens
from domain.artifacts.skills import Skill, find_file
from domain.content import normal_path, text_of
from domain.errors import Invalid, NameChanged, NotFound, Refused
from projections.encoding import etag_of
from projections.read import discovery, packages, versions
from projections.read.discovery import Catalog, FileIndex, Index, IndexEntry, NameIndex
from projections.read.packages import SKILL_MD, Package
from projections.read.versions import Version
from store.postgres.connection import Connection
from store.postgres.pool import Pool

KIND = Skill.KIND

A = TypeVar("A", bound=Answer | LongAnswer)

PLACES = ("/.well-known", "/s/{share_token:str}/.well-known")
FOLDERS = ("agent-skills", "skills")
CATALOG = "/ai-catalog.json"
PLAIN = "/s/{share_token:str}/skills"

MARKDOWN = b"text/markdown; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
BYTES = b"application/octet-stream"

# A share is a secret: only its reader's own cache keeps what was read. A file of a fixed version never changes; SKILL.md, and so
# the zip, has the skill's name, which may.
PRIVATE = (b"private, no-cache", b"private, max-age=31536000, immutable")
# What is public may be kept by anyone; an hour, because a version can be withdrawn by archiving its skill.
PUBLIC = (b"public, no-cache", b"public, max-age=3600")

OPEN: list[Header] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"etag"),
    (b"x-content-type-options", b"nosniff"),
]
SECRET: list[Header] = [(b"referrer-policy", b"no-referrer"), (b"x-robots-tag", b"noindex")]

INDEXES = 64 * 1024 * 1024  # bytes of indexes kept in a process
BATCH = 50  # archives whose digests are stored together

VERSION_ID = Param(
    "version_id",
    {"type": "string", "format": "uuid"},
    "Which version, as the index names it; the latest when absent.",
)


class Shown(NamedTuple):
    """What an address shows: the latest versions of the skills of a project, or those that a label points to.

    ``since`` is the position of the log at which its share was made.
    """

    project_id: int
    label: str | None = None
    since: int = 0


class Indexes(NamedTuple):
    """The indexes of what is shown as of its last event, each with its entity tag."""

    position: int
    by_artifact: tuple[bytes, bytes]
    by_files: tuple[bytes, bytes]
    by_name: tuple[bytes, bytes]
    catalog: bytes


class Discovery:
    """Who may read what, and the indexes."""

    def __init__(
        self,
        pool: Pool,
        reads: Reads,
        reader: RepresentationCache,
        shares: ShareTokens,
        limiter: RateLimiter,
        proxies: TrustedProxies,
        attempts: FailedAttempts,
        public_project: int | None,
        *,
        limit: int,
    ) -> None:
        self._pool = pool
        self._reads = reads
        self._reader = reader
        self.shares = shares
        self._limiter = limiter
        self._proxies = proxies
        self._attempts = attempts
        self._public_project = public_project
        # An installer requests all skills at the same time, and silently leaves out what it does not get: requests
        # wait for each other here, where nothing times out, and leave database connections to requests with keys.
        self.turns = asyncio.Semaphore(limit)
        self._kept: LRU[tuple[int, str | None], Indexes] = LRU(INDEXES)
        self._locks = KeyedLocks()

    async def authorize(self, scope: Any, token: str | None) -> Shown:
        """What the share shows, or the origin. Raises NotFound, RateLimited."""
        found = record(scope)
        if token is None:
            if self._public_project is None:
                raise NotFound(
                    "This service publishes no skills at its origin; ask for the address of a share."
                )
            shown, counted = Shown(self._public_project), client_id(self._proxies, scope)
        else:
            with self._attempts.guard(scope, NotFound, known_good=self.shares.has_seen(token)):
                opening = await self.shares.open(token)
            shown, counted = Shown(opening.project_id, opening.serve_label, opening.since), opening.id
            # The access log tells which share it was, as it tells which key.
            found.key_id, found.opening = opening.id, opening
        found.project_id = shown.project_id
        if not self._limiter.admit_now(counted):
            await self._limiter.admit(counted)
        return shown

    async def indexes(self, shown: Shown) -> Indexes:
        """Both indexes as they are now."""
        project_id, label = key = shown[:2]
        position = await self._reads.ask(lambda conn: discovery.last_event(conn, project_id))
        kept = self._kept.get(key)
        if kept is not None and kept.position == position:
            return kept
        async with self._locks.hold(key):
            kept = self._kept.get(key)
            if kept is None or kept.position < position:
                kept = await self._make(project_id, label)
        return kept

    async def _make(self, project_id: int, label: str | None) -> Indexes:
        async def read(
            conn: Connection,
        ) -> tuple[int, list[IndexEntry], list[IndexEntry], dict[bytes, bytes]]:
            async with versions.snapshot(conn):
                position = await discovery.last_event(conn, project_id)
                found = await discovery.entries(conn, project_id, label)
                packed = [one for one in found if one.packed]
                return (
                    position,
                    found,
                    packed,
                    await discovery.archive_digests(conn, [one.tree for one in packed]),
                )

        position, found, packed, archives = await self._reads.ask(read)
        missing = [one for one in packed if one.tree not in archives]
        for start in range(0, len(missing), BATCH):
            archives |= await self._digest(project_id, missing[start : start + BATCH])
        # Of a project with thousands of skills it takes a while.
        size = sum(one.size for one in found)
        by_artifact = await rendered(size, lambda: _tagged(discovery.index(found, archives)))
        by_files = await rendered(size, lambda: _tagged(discovery.file_index(found)))
        by_name = _tagged(discovery.name_index(found))
        catalog = await rendered(size, lambda: discovery.catalog(found, project_id))
        made = Indexes(position, by_artifact, by_files, by_name, catalog)
        kept = (by_artifact[0], by_files[0], by_name[0], catalog)
        self._kept.put((project_id, label), made, sum(map(len, kept)))
        return made

    async def _digest(self, project_id: int, missing: list[IndexEntry]) -> dict[bytes, bytes]:
        """The digests of archives that were not requested before; they are stored, so this is done once in all."""
        made = {}
        for one in missing:
            try:
                version = await self._reader.version(project_id, KIND, one.name, one.number)
            except NotFound:
                continue  # archived since
            package = packages.package_of(version)
            if version.id == one.version_id:
                digest = sha256()
                async for piece in zips.pieces(self._reader, package):
                    digest.update(piece)
                made[one.tree] = digest.digest()
        # A database that takes no writes is still read: the digests are computed again then.
        with suppress(ReadOnlySqlTransaction, InsufficientPrivilege, DiskFull):
            async with self._pool.connection() as conn:
                await discovery.keep_archive_digests(conn, made)
        return made

    def alone(self, key: Hashable) -> Hold:
        """One at a time computes what ``key`` names; to be entered by ``async with``."""
        return self._locks.hold(key)

    async def archive(self, package: Package, headers: list[Header]) -> Answer | LongAnswer:
        """A zip with SKILL.md at its root."""
        return await zips.answer(self._reader, package, headers)

    async def version(self, shown: Shown, name: str, which: UUID | int | None) -> Version:
        """The version that is shown, or the one with that id or number; of a label, one that it pointed to.

        Raises NotFound, NameChanged.
        """
        project_id, label, since = shown

        async def read(conn: Connection) -> Version:
            version = await self._reader.version_in(conn, project_id, KIND, name, label)
            if which is None or which in (version.id, version.number):
                return version
            number = (
                min(which, versions.MAX_VERSION)
                if isinstance(which, int)
                else await versions.number_of_id(conn, version.stream_id, which)
            )
            if number is None or not (
                label is None or await discovery.had_label(conn, version.stream_id, label, number, since)
            ):
                raise NotFound(f"The skill '{name}' has no such version.")
            return await self._reader.version_in(conn, project_id, KIND, name, number)

        async def read_labeled(conn: Connection) -> Version:
            try:
                try:
                    return await read(conn)
                except NameChanged as changed:
                    await self._reader.version_in(conn, project_id, KIND, changed.new_name, label)
                    raise
            except NameChanged:
                raise
            except NotFound:
                # An answer with close names, or one for a missing label, would tell what else the project has.
                raise NotFound(f"There is no skill '{name}' in this share.") from None

        return await self._reads.ask(read if label is None else read_labeled)

    async def content(self, package: Package, path: str) -> bytes:
        """SKILL.md or a file. Raises NotFound with close paths."""
        if path == SKILL_MD:
            return package.document
        file = find_file({file.path: file for file in package.files}, path, package.name)
        return await self._reader.content(file.ref.digest)


def _named(what: str) -> Callable[[HTTPRouteHandler, Method, Any], str]:
    """Operation ids of a route that has several addresses: of a share or the origin, in the new or the old folder."""

    def name(_: HTTPRouteHandler, __: Method, components: Any) -> str:
        texts = [part for part in components if isinstance(part, str)]
        place = "shared" if texts[0] == "s" else "public"
        folder = "legacy_" if FOLDERS[1] in texts else ""
        return f"{place}_skills_{folder}{what}_retrieve"

    return name


def _addresses(path: str, *folders: str) -> list[str]:
    return [f"{place}/{folder}/{path}" for place in PLACES for folder in folders]


def _opt(*query: Param, produces: str | None = None, media: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        **route("", query=query, produces=produces, media=media, yanks=VERSION_ID in query),
        "conditional": True,
    }


ERRORS = documented(400, 404, 429, 503)


@get(
    _addresses("index.json", FOLDERS[0]),
    operation_id=_named("index"),
    summary="Index of installable skills",
    tags=["discovery"],
    opt=_opt(),
    responses=documented(404, 429, 503),
)
async def index(request: Request[Any, Any, Any]) -> Response[Index]:
    """By the Agent Skills discovery RFC 0.2.0. `npx skills add` takes the address before `/.well-known`."""

    async def answer(shown: Shown) -> Answer:
        found = await _discovery(request).indexes(shown)
        return answer_of(request, *found.by_artifact, JSON[1])

    return await answered(request, answer)


@get(
    _addresses("index.json", FOLDERS[1]),
    operation_id=_named("index"),
    summary="Index of files of skills",
    tags=["discovery"],
    opt=_opt(),
    responses=documented(404, 429, 503),
)
async def file_index(request: Request[Any, Any, Any]) -> Response[FileIndex]:
    """By version 0.1.0 of the same RFC, for installers that know no other."""

    async def answer(shown: Shown) -> Answer:
        found = await _discovery(request).indexes(shown)
        return answer_of(request, *found.by_files, JSON[1])

    return await answered(request, answer)


@get(
    _addresses("{skill_archive:str}", FOLDERS[0]),
    operation_id=_named("archive"),
    summary="Archive of a skill",
    tags=["discovery"],
    opt=_opt(VERSION_ID, produces=zips.ZIP.decode()),
    responses=ERRORS,
)
async def archive(request: Request[Any, Any, Any], skill_archive: FromPath[str]) -> Response[bytes]:
    """A zip with SKILL.md at its root. The same version is the same bytes; the index has their digest."""

    async def answer(shown: Shown) -> Answer | LongAnswer:
        name, dot, ending = skill_archive.partition(".")
        if (dot, ending) != (".", "zip"):
            raise NotFound("There is nothing at this address; the index lists what is.")
        version_id = _version_id(request)
        version = await _discovery(request).version(shown, name, version_id)
        package = packages.package_of(version)
        headers = [*headers_of(request, zips.etag(package)), *yanked(version)]
        known = not_modified(header_of(request, b"if-none-match"), headers)
        return counted(request, package, known or await _discovery(request).archive(package, headers))

    return await answered(request, answer)


@get(
    _addresses("{skill_name:str}/{file_path:path}", *FOLDERS),
    operation_id=_named("file"),
    summary="File of a skill",
    tags=["discovery"],
    opt=_opt(VERSION_ID, produces=BYTES.decode(), media=("text/plain", "text/markdown")),
    responses=ERRORS,
)
async def file(
    request: Request[Any, Any, Any], skill_name: FromPath[str], file_path: FromPath[str]
) -> Response[bytes]:
    """SKILL.md, or one of the files. Text is sent as plain text, whatever it is: nothing here is a page."""

    async def answer(shown: Shown) -> Answer:
        version_id, path = _version_id(request), _path(request)
        version = await _discovery(request).version(shown, skill_name, version_id)
        package = packages.package_of(version)
        data = await _discovery(request).content(package, path)
        kind = MARKDOWN if path == SKILL_MD else BYTES if text_of(data) is None else TEXT
        fixed = version_id is not None and path != SKILL_MD
        told = answer_of(request, *_tagged(data), kind, fixed=fixed, extra=yanked(version))
        return counted(request, package, told)

    return await answered(request, answer)


@get(
    f"{PLAIN}/index.json",
    operation_id="shared_skills_names_retrieve",
    summary="Names of shared skills",
    tags=["discovery"],
    opt=_opt(),
    responses=documented(404, 429, 503),
)
async def name_index(request: Request[Any, Any, Any]) -> Response[NameIndex]:
    """For clients of a host of plain files, such as `agentskills-http`: each file lies below the name of its skill."""

    async def answer(shown: Shown) -> Answer:
        found = await _discovery(request).indexes(shown)
        return answer_of(request, *found.by_name, JSON[1])

    return await answered(request, answer)


@get(
    f"{PLAIN}/{{skill_name:str}}/{{file_path:path}}",
    operation_id="shared_skills_plain_file_retrieve",
    summary="Plain file of a shared skill",
    tags=["discovery"],
    opt=_opt(produces=BYTES.decode(), media=("text/plain", "text/markdown", "application/json")),
    responses=documented(400, 404, 429, 503),
)
async def plain_file(
    request: Request[Any, Any, Any], skill_name: FromPath[str], file_path: FromPath[str]
) -> Response[bytes]:
    """SKILL.md, one of the files, or `index.json`, which lists them; a skill with such a file of its own gives that."""

    async def answer(shown: Shown) -> Answer:
        package = packages.package_of(await _discovery(request).version(shown, skill_name, None))
        path, paths = _path(request), [SKILL_MD, *(file.path for file in package.files)]
        if path == discovery.INDEX and path not in paths:
            return answer_of(request, *_tagged(discovery.path_index(paths)), JSON[1])
        data = await _discovery(request).content(package, path)
        kind = MARKDOWN if path == SKILL_MD else BYTES if text_of(data) is None else TEXT
        return counted(request, package, answer_of(request, *_tagged(data), kind))

    return await answered(request, answer)


@get(
    [f"{place}{CATALOG}" for place in PLACES],
    operation_id=_named("catalog"),
    summary="Catalog of skills",
    tags=["discovery"],
    opt=_opt(),
    responses=documented(404, 429, 503),
)
async def catalog(request: Request[Any, Any, Any]) -> Response[Catalog]:
    """By the AI Catalog specification 1.0. Each `url` is absolute, and names the version."""

    async def answer(shown: Shown) -> Answer:
        found, base = (await _discovery(request).indexes(shown)).catalog, requests.base(request)
        place = f"{base}{requests.request_path(request).removesuffix('/').removesuffix(CATALOG)}"
        host = (urlsplit(base).hostname or "").replace(":", "-")
        made = await rendered(len(found), lambda: _tagged(discovery.located(found, host, place)))
        return answer_of(request, *made, JSON[1])

    return await answered(request, answer)


HANDLERS = [index, file_index, archive, file, name_index, plain_file, catalog]


def _discovery(request: Request[Any, Any, Any]) -> Discovery:
    return services(request).discovery


def _token(request: Request[Any, Any, Any]) -> str | None:
    token: str | None = request.path_params.get("share_token")
    return token


async def answered(
    request: Request[Any, Any, Any],
    answer: Callable[[Shown], Awaitable[Answer | LongAnswer]],
    renamed: Callable[[Request[Any, Any, Any], str], str] | None = None,
) -> Response[Any]:
    """What ``answer`` gives of what the address shows. Refusals, too, can be read by a web page.

    ``renamed`` is the path of the request with another name of the skill.
    """
    token, discovery = _token(request), _discovery(request)
    given: Answer | LongAnswer
    try:
        async with discovery.turns:
            given = await answer(await discovery.authorize(request.scope, token))
        await recheck(request)
        if isinstance(given, LongAnswer):
            given = given._replace(pieces=while_allowed(request, given.pieces))
    except NameChanged as changed:
        given = requests.redirect(request, (renamed or _renamed)(request, changed.new_name))
    except Refused as refused:
        given = render(refused)
    more = OPEN if token is None else [*OPEN, *SECRET]
    return to_response(given._replace(headers=[*given.headers, *more]))


def counted(request: Request[Any, Any, Any], package: Package, given: A) -> A:
    """``given``, counted as a read of the version of ``package``."""
    services(request).read_counter.count(
        request.scope, KIND, package.version_id, door=DISCOVERY, unchanged=given.status == 304
    )
    return given


def _tagged(data: bytes) -> tuple[bytes, bytes]:
    return data, etag_of(data)


def answer_of(
    request: Request[Any, Any, Any],
    data: bytes,
    tag: bytes,
    content_type: bytes,
    *,
    fixed: bool = False,
    extra: Iterable[Header] = (),
) -> Answer:
    headers = [*headers_of(request, tag, fixed=fixed), *extra]
    return typed_answer(content_type, data, header_of(request, b"if-none-match"), headers)


def headers_of(request: Request[Any, Any, Any], tag: bytes, *, fixed: bool = False) -> list[Header]:
    control = (PUBLIC if _token(request) is None else PRIVATE)[fixed]
    return [(b"etag", tag), (b"cache-control", control)]


def _version_id(request: Request[Any, Any, Any]) -> UUID | None:
    """Raises Invalid."""
    text = query_of(request).text("version_id")
    if text is None:
        return None
    found = as_uuid(text)
    if found is None:
        raise Invalid("This must be a UUID.", attr="version_id")
    return found


def _renamed(request: Request[Any, Any, Any], new_name: str) -> str:
    """The path of the request with another name of the skill, which stands behind the folder."""
    path = requests.request_path(request)
    start, folder, rest = next(
        (start, mark, rest)
        for mark in (*(f"/.well-known/{folder}/" for folder in FOLDERS), "/skills/")
        for start, found, rest in [path.partition(mark)]
        if found
    )
    name, slash, behind = rest.partition("/")
    ending = "" if slash else name[name.find(".") :]
    return f"{start}{folder}{new_name}{ending}{slash}{behind}"


def _path(request: Request[Any, Any, Any]) -> str:
    """The path behind the name of the skill, decoded once and brought into its normal form. Raises Invalid, NotFound."""
    _, well_known, raw = requests.request_path(request).partition("/.well-known/")
    if not well_known:
        raw = requests.request_path(request).partition("/s/")[2].partition("/")[2]
    path = unquote(raw.split("/", 2)[-1], errors="replace").removesuffix("/")
    if path == SKILL_MD:
        return path
    if "\0" in path:
        raise Invalid(
            "Null characters are not allowed.", code="null_characters_not_allowed", attr="file_path"
        )
    try:
        return normal_path(path)
    except Invalid as error:
        raise error.within("file_path") from None
