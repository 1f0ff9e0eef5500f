"""How a form with a text in it comes in. Where the session has ended, or may not write, or the service cannot keep anything now, the text
is not lost: the page that says so has it, and sends it again.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Request, Response

from api.http.errors import ParseError, answer_for, passes
from api.http.requests import public, query_of
from api.http.responses import Answer, Header, to_response
from api.offload import heavy
from console import access
from console.access import ForeignRequest, SignInFirst
from console.entering import session_cookie
from console.errors import sentence_of
from console.forms import Form, form_of
from console.page import page
from domain.errors import NotAuthenticated, PermissionDenied
from store.tables import console_drafts

CARRIED = "carried"  # the field that has a whole form
KEY = "key"
# In the address of a form that is sent once more after signing in: twice would go round for ever.
AGAIN = "again"
MAX_CARRIED = console_drafts.MAX_BYTES
SHOWN = 20_000  # characters of the text that the page shows, to be copied by hand

_forms = msgspec.msgpack.Decoder(Form)


async def enter(request: Request[Any, Any, Any]) -> tuple[Form, Response[Any] | None]:
    """The form, and the answer when the session may not send it. Raises what guards raise, but not for that."""
    access.check_origin(request)
    form = await form_of(request)
    key = form.line(KEY)
    if carried := form.text(CARRIED):
        form = await heavy(len(carried), lambda: _carried(carried))
    try:
        await access.in_project(request, request.route_handler)
    except ForeignRequest:
        raise
    except (SignInFirst, PermissionDenied) as error:
        return form, await _refused(request, form, error, key)
    except Exception as error:
        return form, await kept_back(request, form, error)
    return form, None


async def kept_back(request: Request[Any, Any, Any], form: Form, error: Exception) -> Response[Any]:
    """The page of an error that passes, with the form to be sent once more. Raises any other; a script sends its own again."""
    if not passes(error) or "part" in form.line("as"):
        raise error
    answer = answer_for(error)
    headers = [header for header in answer.headers if header[0] == b"retry-after"]
    return await _again(request, form, "later", sentence_of(answer), answer.status, headers=headers)


def _carried(text: str) -> Form:
    try:
        return _forms.decode(b64decode(text, validate=True))
    except (ValueError, msgspec.MsgspecError):
        raise ParseError("The form is malformed.") from None


async def _refused(
    request: Request[Any, Any, Any], form: Form, error: SignInFirst | PermissionDenied, key: str
) -> Response[Any]:
    wrong = ""
    if key and AGAIN not in query_of(request):
        try:
            principal = await access.principal_of_key(request, key)
        except NotAuthenticated as refused:
            wrong = refused.detail
        else:
            return await _signed_in(request, principal.key_id)
    if isinstance(error, SignInFirst):
        return await _again(request, form, "ended", error.detail, 401, wrong=wrong)
    return await _again(request, form, "forbidden", error.detail, 403, wrong=wrong)


async def _again(
    request: Request[Any, Any, Any],
    form: Form,
    why: Literal["ended", "forbidden", "later"],
    detail: str,
    status: int,
    *,
    wrong: str = "",
    headers: Sequence[Header] = (),
) -> Response[Any]:
    text = form.text("text") or form.text("content")
    size = sum(len(value) for _, value in form.fields) + sum(len(upload.data) for upload in form.uploads)
    carried = await heavy(size, lambda: _packed(form))
    return await page(
        request,
        "edit-again.html",
        status=status,
        headers=headers,
        size=3 * len(carried),
        # What waits for approval is asked of the database.
        is_whole_frame=why != "later",
        why=why,
        detail=detail,
        wrong=wrong,
        action=_address(request),
        carried=carried,
        text=text[:SHOWN],
        is_whole=len(text) <= SHOWN,
    )


def _packed(form: Form) -> str:
    """The form as a field of another one; empty when it is too large for that."""
    data = msgspec.msgpack.encode(form)
    return b64encode(data).decode() if len(data) <= MAX_CARRIED else ""


async def _signed_in(request: Request[Any, Any, Any], key_id: UUID) -> Response[Any]:
    """307: the browser sends the same form again, with its new session."""
    headers = [
        (b"location", f"{_address(request)}?{AGAIN}=1".encode()),
        (b"cache-control", b"no-store"),
        await session_cookie(request, key_id),
    ]
    return to_response(Answer(307, headers, b""))


def _address(request: Request[Any, Any, Any]) -> str:
    return public(request).prefix(request.scope) + quote(request.scope["path"], safe="/@")
