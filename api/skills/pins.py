"""What has become of versions that a lock file names: ``…/llm_skills/check/``."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, post
from litestar.params import RawBody

from api.artifacts import common as artifacts
from api.http.errors import documented
from api.http.requests import header_of, project_of
from api.http.responses import json_answer, to_response
from api.openapi.parameters import route
from api.payload.decode import read
from api.services import services
from api.skills.pin_schemas import CheckPins, Pin, PinsAnswer
from domain.artifacts.skills import Skill
from projections.encoding import NOT_YANKED
from projections.read import pins
from projections.read.pins import Held

READ = f"{Skill.SCOPE}:read"


class PinsController(Controller):
    path = f"/{Skill.RESOURCE}"
    tags = ("packages",)
    guards = (artifacts.guard,)

    @post(
        "/check",
        operation_id="llm_skills_check_create",
        summary="Check pinned versions",
        status_code=200,
        opt=route(READ, body=CheckPins, logged=False),
        responses=documented(400, 401, 403, 404, 413, 415, 429, 503),
    )
    async def check(self, request: Request[Any, Any, Any], body: RawBody) -> Response[PinsAnswer]:
        """What has become of up to 100 versions that a lock file names, in their order; nothing is written.

        `states` is empty for a version that is as it was and the latest, else it has `newer` (there is a later version), `yanked`,
        `drifted` (the version has another digest, as a rename gives the latest one), `renamed` or `missing`, in this order.
        """
        data = await read(CheckPins, body, header_of(request, b"content-type"))
        project_id = project_of(request)
        wanted = [(pin.name, pin.version) for pin in data.pins]
        found = await services(request).reads.ask(lambda conn: pins.find(conn, project_id, wanted))
        results = [checked(pin, held) for pin, held in zip(data.pins, found, strict=True)]
        return to_response(json_answer(msgspec.json.encode({"results": results})))


def checked(pin: Pin, held: Held | None) -> dict[str, Any]:
    """A ``PinAnswer``."""
    if held is None:
        held = Held(pin.name, None, None, None, NOT_YANKED)
    there = held.position is not None
    states = {
        "newer": there and held.latest_version is not None and held.latest_version > pin.version,
        "yanked": held.yanked is not NOT_YANKED,
        "drifted": there and pin.digest is not None and pin.digest != held.digest,
        "renamed": held.name != pin.name,
        "missing": not there,
    }
    return {
        "name": pin.name,
        "version": pin.version,
        "states": [state for state, holds in states.items() if holds],
        "latest_version": held.latest_version,
        "digest": held.digest,
        "position": held.position,
        "renamed_to": held.name if held.name != pin.name else None,
        "yanked": msgspec.Raw(held.yanked),
    }
