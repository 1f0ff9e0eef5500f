"""The caller of a change, and its idempotency key."""

from hashlib import sha256

from api.commands.execute import Caller
from api.http.context import RequestContext
from api.offload import heavy
from domain.errors import Invalid
from projections.encoding import author

MAX_IDEMPOTENCY_KEY = 255


async def caller_of(context: RequestContext, body: bytes = b"") -> Caller:
    """The caller of a change. Raises Invalid for a malformed ``Idempotency-Key``."""
    user = context.principal.user
    key = idempotency_key(context.header(b"idempotency-key"))
    return Caller(
        project_id=context.project_id,
        actor_id=user.id,
        key_id=context.principal.key_id,
        author=author(
            (
                user.id,
                user.uuid,
                user.distinct_id,
                user.first_name,
                user.last_name,
                user.email,
                user.is_email_verified,
                user.role_at_organization,
            )
        ),
        author_as_of=context.principal.as_of,
        correlation_id=context.correlation_id,
        scopes=context.principal.scopes,
        idempotency_key=key,
        fingerprint=await heavy(len(body), lambda: fingerprint(context, body)) if key else b"",
    )


def idempotency_key(value: bytes | None) -> str | None:
    """Raises Invalid unless it is 1 to 255 visible ASCII characters."""
    if value is None:
        return None
    if not 0 < len(value) <= MAX_IDEMPOTENCY_KEY or not all(32 < byte < 127 for byte in value):
        raise Invalid(
            f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters.",
            attr="Idempotency-Key",
        )
    return value.decode()


def fingerprint(context: RequestContext, body: bytes) -> bytes:
    """The same for the same request, by whichever prefix it came."""
    place = context.path.split("/", 4)[-1].rstrip("/")
    parts = (
        context.method,
        str(context.project_id),
        place,
        context.query_string.decode("latin-1"),
        (context.header(b"if-match") or b"").decode("latin-1"),
    )
    return sha256("\n".join(parts).encode("utf-8", "surrogateescape") + b"\n" + body).digest()
