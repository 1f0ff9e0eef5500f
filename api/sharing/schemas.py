"""Bodies of requests and answers about shares; rules and schemas as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import Meta

from api.openapi.examples import examples_of
from domain.keys import MAX_LABEL_LENGTH
from domain.shares import LABEL, MAX_EXPIRY_SECONDS, check_label

_EXAMPLES = examples_of("api.sharing")


class CreateShare(msgspec.Struct):
    """Whom the address is for, and how long it is good."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateShare"]

    label: Annotated[
        str,
        Meta(
            max_length=MAX_LABEL_LENGTH,
            description="A name to know it by, one line. It is no part of the address.",
            extra={"blank": True, "rule": check_label},
            extra_json_schema={"pattern": LABEL},
        ),
    ] = ""
    expires_in: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_EXPIRY_SECONDS)] | None,
        Meta(description="Seconds for which it is good; null: until it is revoked."),
    ] = None


class ShareAnswer(msgspec.Struct):
    """A share. Its address is shown when it is made, and never again."""

    id: UUID
    label: str
    prefix: Annotated[
        str, Meta(description="The first characters of its token, by which shares are distinguished.")
    ]
    created_by_id: Annotated[
        int | None, Meta(description="The user who made it; null when it was made on the host.")
    ]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewShare(ShareAnswer):
    """The share with its token and address, which are shown this once."""

    token: Annotated[
        str | None,
        Meta(
            description="Null when this repeats an earlier request (`Idempotency-Key`): it is stored as a hash only, so it "
            "cannot be shown again."
        ),
    ]
    url: Annotated[str | None, Meta(description="What `npx skills add` takes. Null together with the token.")]


class SharePage(msgspec.Struct):
    """Newest first; those that have expired or been revoked, too, for 30 days."""

    count: int
    next: str | None
    previous: str | None
    results: list[ShareAnswer]
