"""``clawhub publish``: a ticket for each file, the bytes of each, and then the skill, as an import of the same files would make it."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, RawBody

from api.clawhub import schemas as claw
from api.clawhub.controller import CURSOR, ERRORS, KIND, LIMIT, PREFIX, PREFIX_OF, READ, WRITE, guard, listed
from api.commands.caller import caller_of
from api.commands.execute import Caller, Done
from api.http import conditional, requests
from api.http.context import context
from api.http.errors import RequestTooLarge, documented
from api.http.requests import header_of, project_of
from api.http.responses import Header, json_answer, to_response
from api.offload import heavy, offload
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from api.skills.packages import Importing, Upload
from domain.errors import Invalid, NotFound, TooBig
from domain.formats import incoming
from domain.formats.archives import Limits
from domain.formats.incoming import Incoming
from domain.formats.semantic import semantic
from store.tables import uploads
from store.tables.identity import digest_of

UPLOADS = "/skills/-/uploads"
TICKET = re.compile(claw.TICKET.removeprefix("^").removesuffix("$"))
CHANGES = documented(400, 401, 403, 404, 413, 415, 429, 503)


class ClawHubPublishingController(Controller):
    """Needs a key with the scope that a route names."""

    path = PREFIX
    tags = ("clawhub",)
    guards = (guard,)

    @post(
        "/skills/-/upload-url",
        operation_id="clawhub_uploads_create",
        summary="Announce a file, for ClawHub",
        opt=route(WRITE, body=claw.AnnounceUpload, logged=False),
        responses=CHANGES,
        status_code=200,
    )
    async def announce(self, request: Request[Any, Any, Any], body: RawBody) -> Response[claw.UploadTicket]:
        """A key has at most 1000 such files at a time, and 64 MiB, as far as they are not published."""
        sent = await read(claw.AnnounceUpload, body, header_of(request, b"content-type"))
        found = context(request)
        async with services(request).pool.connection() as conn:
            ticket = await uploads.announce(
                conn, found.project_id, found.principal.key_id, sent.size, bytes.fromhex(sent.sha256)
            )
        if ticket is None:
            raise Invalid(
                f"This key has announced files that no publish has used, {uploads.MAX_UPLOADS:,} of them or "
                f"{uploads.MAX_BYTES >> 20} MiB; publish them, or wait until they expire.",
                code="too_many_uploads",
            )
        address = f"{requests.base(request)}{PREFIX}{UPLOADS}/{ticket}"
        return _answer(claw.UploadTicket(address, ticket))

    # Its address comes with the ticket.
    @post(
        UPLOADS + "/{upload_ticket:str}",
        opt=route(WRITE),
        include_in_schema=False,
        status_code=200,
        request_max_body_size=claw.MAX_FILE,
    )
    async def send(
        self, request: Request[Any, Any, Any], upload_ticket: FromPath[str]
    ) -> Response[claw.Stored]:
        """The bytes that were announced, whatever their type; sent again, they are the same file."""
        found = context(request)
        upload = None
        if TICKET.fullmatch(upload_ticket):
            async with services(request).pool.connection() as conn:
                upload = await uploads.find(conn, upload_ticket, found.principal.key_id, found.project_id)
        if upload is None:
            raise NotFound(
                "There is no such upload of this key; it may have expired. Announce the file again."
            )
        declared = header_of(request, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > upload.size:
            raise RequestTooLarge(f"{upload.size:,} bytes were announced, and these are {int(declared):,}.")
        data = await request.body()
        digest = await heavy(len(data), lambda: sha256(data).digest())
        if (len(data), digest) != (upload.size, upload.sha256):
            raise Invalid("These are other bytes than those that were announced.", code="digest_mismatch")
        async with services(request).pool.connection() as conn:
            await uploads.put(conn, upload.id, data)
        return _answer(claw.Stored(str(upload.id)))

    # The framework wants all methods of an address in one place.
    @get(
        "/skills",
        operation_id="clawhub_skills_list",
        summary="List skills, for ClawHub",
        opt=route(READ, query=(LIMIT, PREFIX_OF, CURSOR)),
        responses=ERRORS,
    )
    async def list(self, request: Request[Any, Any, Any]) -> Response[claw.ClawSkills]:
        """Those with the newest latest versions first. `clawhub explore` asks for it, and `search --prefix`: a page of that may have fewer
        skills than its limit, or none, and lead to the next."""
        return conditional.answer(request, msgspec.json.encode(await listed(request)))

    @post(
        "/skills",
        operation_id="clawhub_skills_create",
        summary="Publish a skill, for ClawHub",
        opt=route(WRITE, body=claw.PublishClaw, logged=None),
        responses=documented(400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503),
        status_code=200,
    )
    async def publish(self, request: Request[Any, Any, Any], body: RawBody) -> Response[claw.Published]:
        """A new skill, or a version of one that is there; none where nothing would change.

        `slug` is the name, whatever SKILL.md says. Other problems with the files are those of an import, by 400 `invalid_skill`.
        """
        sent = await read(claw.PublishClaw, body, header_of(request, b"content-type"))
        caller = await caller_of(context(request), body)
        async with services(request).commands.once(caller) as before:
            # The files of an earlier request with the same key have gone by then.
            done = before or await _publish(request, caller, sent)
        version = done.version or await services(request).reader.version(project_of(request), KIND, sent.slug)
        answer = claw.Published(
            True, str(version.stream_id), str(version.id), "published", sent.slug, semantic(version.number)
        )
        headers: list[Header] = [(b"x-event-position", b"%d" % done.position)]
        if done.replayed:
            headers.append((b"idempotent-replayed", b"true"))
        return _answer(answer, *headers)


async def _publish(request: Request[Any, Any, Any], caller: Caller, sent: claw.PublishClaw) -> Done:
    """Raises what an import does, and what ``_files`` does."""
    limits = services(request).archive_limits
    skill = await offload(_skill_of, sent, await _files(request, sent.files), limits)
    done = await Importing(request, caller, Upload(b"", "upsert", False, None, sent.changelog), skill).bring()
    async with services(request).pool.connection() as conn:
        await uploads.use(conn, [UUID(file.storage_id) for file in sent.files])
    return done


async def _files(request: Request[Any, Any, Any], listed: Sequence[claw.SentFile]) -> list[tuple[str, bytes]]:
    """What was sent of the files, each with its path. Raises Invalid for the first that is not what it says, TooBig."""
    found, most = context(request), services(request).archive_limits.total_bytes
    ids = [UUID(file.storage_id) for file in listed]
    async with services(request).pool.connection() as conn:
        sent = await uploads.sent(conn, ids, found.principal.key_id, found.project_id)
    paths: set[str] = set()
    total = 0
    for index, (file, upload_id) in enumerate(zip(listed, ids, strict=True)):
        if file.path in paths:
            raise Invalid("Send each path once.", code="duplicate_path", attr=f"files__{index}__path")
        paths.add(file.path)
        upload = sent.get(upload_id)
        if upload is None or upload.ticket != digest_of(file.upload_ticket):
            raise _gone(index)
        if (file.size, file.sha256) != (upload.size, upload.sha256.hex()):
            raise Invalid(
                "Another file was sent under this storageId.",
                code="digest_mismatch",
                attr=f"files__{index}__sha256",
            )
        total += upload.size
        if total > most:
            raise TooBig(f"The files of a skill have at most {most:,} bytes together.", attr="files")
    async with services(request).pool.connection() as conn:
        data = await uploads.contents(conn, ids)
    for index, upload_id in enumerate(ids):
        if upload_id not in data:
            # It has expired in between.
            raise _gone(index)
    return [(file.path, data[upload_id]) for file, upload_id in zip(listed, ids, strict=True)]


def _gone(index: int) -> Invalid:
    return Invalid(
        "There is no such file of this key with this ticket; it may have expired. Send it again.",
        code="does_not_exist",
        attr=f"files__{index}__storageId",
    )


def _skill_of(sent: claw.PublishClaw, files: Sequence[tuple[str, bytes]], limits: Limits) -> Incoming:
    """The skill under its slug. Raises Invalid with every problem."""
    skill = incoming.read_files(files, limits)
    incoming.check(skill, "files")
    document = skill.document
    assert document is not None
    return msgspec.structs.replace(skill, document=msgspec.structs.replace(document, name=sent.slug))


def _answer(shown: msgspec.Struct, *headers: Header) -> Response[Any]:
    return to_response(json_answer(msgspec.json.encode(shown), cache_control=b"no-store", extra=headers))
