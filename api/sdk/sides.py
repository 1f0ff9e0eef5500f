"""The two shapes of ``/v1/skills``. A client that sends ``anthropic-version`` gets that of Anthropic, any other that of OpenAI."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from litestar import Request

from api.http.context import record
from api.http.errors import ErrorBody
from api.http.requests import header_of
from api.http.responses import Header
from api.sdk import schemas
from api.sdk.ids import skill_id, version_id
from projections.encoding import timestamp
from projections.read.by_id import FoundSkill, FoundVersion

VERSION_HEADER = b"anthropic-version"


class Side(Protocol):
    """What is found, as a client of one SDK has it."""

    def skill(self, found: FoundSkill) -> schemas.SdkSkill: ...

    def version(self, of: UUID, found: FoundVersion) -> schemas.SdkSkillVersion: ...

    def skills(self, found: Sequence[FoundSkill], more: bool) -> schemas.SdkSkills: ...

    def versions(self, of: UUID, found: Sequence[FoundVersion], more: bool) -> schemas.SdkSkillVersions: ...

    def deleted_skill(self, id: UUID) -> schemas.SdkDeletedSkill: ...

    def deleted_version(self, found: FoundVersion) -> schemas.SdkDeletedVersion: ...

    def error(self, status: int, error: ErrorBody, request_id: str) -> schemas.SdkError: ...

    def headers(self, request_id: str) -> list[Header]:
        """Those of every answer, beside the ones that each route has."""
        ...


class Anthropic:
    def skill(self, found: FoundSkill) -> schemas.SdkSkill:
        return schemas.SdkSkill(
            type="skill",
            id=skill_id(found.id),
            display_name=found.display_name,
            latest_version_id=version_id(found.latest_id),
            created_at=timestamp(found.created_at),
            updated_at=timestamp(found.latest_at),
            source=schemas.SdkSource(),
        )

    def version(self, of: UUID, found: FoundVersion) -> schemas.SdkSkillVersion:
        return schemas.SdkSkillVersion(
            type="skill_version",
            id=version_id(found.id),
            skill_id=skill_id(of),
            name=found.name,
            description=found.description,
            created_at=timestamp(found.created_at),
        )

    def skills(self, found: Sequence[FoundSkill], more: bool) -> schemas.SdkSkills:
        data = [self.skill(one) for one in found]
        return schemas.SdkSkills(data=data, has_more=more, next_page=data[-1].id if more else None)

    def versions(self, of: UUID, found: Sequence[FoundVersion], more: bool) -> schemas.SdkSkillVersions:
        data = [self.version(of, one) for one in found]
        return schemas.SdkSkillVersions(data=data, has_more=more, next_page=data[-1].id if more else None)

    def deleted_skill(self, id: UUID) -> schemas.SdkDeletedSkill:
        return schemas.SdkDeletedSkill(type="skill_deleted", id=skill_id(id))

    def deleted_version(self, found: FoundVersion) -> schemas.SdkDeletedVersion:
        return schemas.SdkDeletedVersion(type="skill_version_deleted", id=version_id(found.id))

    def error(self, status: int, error: ErrorBody, request_id: str) -> schemas.SdkError:
        kinds: dict[int, Any] = {
            401: "authentication_error",
            403: "permission_error",
            404: "not_found_error",
            413: "request_too_large",
            429: "rate_limit_error",
            503: "overloaded_error",
        }
        kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
        message = f"{error.attr}: {error.detail}" if error.attr else error.detail
        shown = schemas.SdkErrorObject(type=kind, message=message)
        return schemas.SdkError(type="error", error=shown, request_id=request_id)

    def headers(self, request_id: str) -> list[Header]:
        return [(b"request-id", request_id.encode())]


class OpenAi:
    def skill(self, found: FoundSkill) -> schemas.SdkSkill:
        return schemas.SdkSkill(
            object="skill",
            id=skill_id(found.id),
            name=found.name,
            description=found.description,
            created_at=_seconds(found.created_at),
            default_version=str(found.default),
            latest_version=str(found.latest),
        )

    def version(self, of: UUID, found: FoundVersion) -> schemas.SdkSkillVersion:
        return schemas.SdkSkillVersion(
            object="skill.version",
            id=version_id(found.id),
            skill_id=skill_id(of),
            version=str(found.number),
            name=found.name,
            description=found.description,
            created_at=_seconds(found.created_at),
        )

    def skills(self, found: Sequence[FoundSkill], more: bool) -> schemas.SdkSkills:
        data = [self.skill(one) for one in found]
        first, last = _ends([one.id for one in data])
        return schemas.SdkSkills(object="list", data=data, has_more=more, first_id=first, last_id=last)

    def versions(self, of: UUID, found: Sequence[FoundVersion], more: bool) -> schemas.SdkSkillVersions:
        data = [self.version(of, one) for one in found]
        first, last = _ends([one.id for one in data])
        return schemas.SdkSkillVersions(object="list", data=data, has_more=more, first_id=first, last_id=last)

    def deleted_skill(self, id: UUID) -> schemas.SdkDeletedSkill:
        return schemas.SdkDeletedSkill(object="skill.deleted", id=skill_id(id), deleted=True)

    def deleted_version(self, found: FoundVersion) -> schemas.SdkDeletedVersion:
        return schemas.SdkDeletedVersion(
            object="skill.version.deleted", id=version_id(found.id), deleted=True, version=str(found.number)
        )

    def error(self, status: int, error: ErrorBody, request_id: str) -> schemas.SdkError:
        kinds: dict[int, Any] = {
            401: "authentication_error",
            403: "permission_error",
            429: "rate_limit_error",
        }
        kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
        return schemas.SdkError(
            error=schemas.SdkErrorObject(message=error.detail, type=kind, param=error.attr, code=error.code)
        )

    def headers(self, request_id: str) -> list[Header]:
        # The request id is in X-Request-Id, as everywhere.
        return []


ANTHROPIC, OPENAI = Anthropic(), OpenAi()


def side_of(request: Request[Any, Any, Any]) -> Side:
    return OPENAI if header_of(request, VERSION_HEADER) is None else ANTHROPIC


def headers_for(request: Request[Any, Any, Any]) -> list[Header]:
    return side_of(request).headers(record(request.scope).request_id)


def _ends(ids: list[str]) -> tuple[str | None, str | None]:
    return (ids[0], ids[-1]) if ids else (None, None)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
