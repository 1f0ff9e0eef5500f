"""Bodies of requests and answers about shares; rules and schemas as in ``api.artifacts.fields``."""

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from api.openapi.examples import examples_of
from domain.keys import MAX_LABEL_LENGTH
from domain.names import CONTROLS, MAX_LABEL
from domain.names import check_label as check_label_name
from domain.shares import MAX_EXPIRY_SECONDS, check_label

_EXAMPLES = examples_of("api.sharing")

# Of a label of skills; neither `latest`, nor `new`, nor a number.
LABEL_NAME = r"^(?!(?:latest|new|[0-9]+)$)[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$"


class CreateShare(msgspec.Struct):
    """Whom the address is for, and how long it is good."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["CreateShare"]

    label: Annotated[
        str,
        Meta(
            max_length=MAX_LABEL_LENGTH,
            description="A name to know it by, one line. It is no part of the address.",
            extra={"blank": True, "rule": check_label},
            extra_json_schema={"pattern": rf"^[^{CONTROLS}]*$"},
        ),
    ] = ""
    expires_in: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_EXPIRY_SECONDS)] | None,
        Meta(description="Seconds for which it is good; null: until it is revoked."),
    ] = None
    serve_label: (
        Annotated[
            str,
            Meta(
                max_length=MAX_LABEL,
                description="Serve the version of each skill that this label points to, and no skill without it; null: the latest of all.",
                examples=["production"],
                extra={"rule": check_label_name},
                extra_json_schema={"pattern": LABEL_NAME},
            ),
        ]
        | None
    ) = None


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
    serve_label: Annotated[
        str | None, Meta(description="The label whose versions it serves; null: the latest ones.")
    ]


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


class Rotate(msgspec.Struct, frozen=True):
    """Whether a key that is there shall be replaced; its token ends at once."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["Rotate"]

    rotate: bool = False


class InstallCommand(msgspec.Struct, kw_only=True):
    """The lines for Claude Code and Codex.

    `token` is there when it has just been made, and never again; otherwise `mask_value` stands in its place in the commands.
    """

    status: Literal["absent", "exists", "created", "rotated"]
    connected: Annotated[bool, Meta(description="Whether the caller has a key for this now.")]
    plugin_name: str
    marketplace_name: str
    label: str
    repo_url: Annotated[str, Meta(description="The repository, without a key.")]
    command: str | None
    command_template: Annotated[str, Meta(description="The same with `{token}` in place of the token.")]
    codex_command: str | None
    codex_command_template: Annotated[str, Meta(description="The same with `{token}` in place of the token.")]
    token: str | None
    mask_value: str | None
    created_at: str | None
    last_rolled_at: str | None
