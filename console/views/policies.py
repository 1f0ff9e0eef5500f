"""Label policies of a project: which labels are protected, and how many approvals a move takes."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response, get, post

from api.governance import commands
from api.governance.schemas import SetPolicy
from api.http.context import context
from api.http.requests import project_of, query_of
from api.payload.decode import checked
from api.services import services
from console import past
from console.forms import Form, flash, form_of
from console.governing import Refusal, policies_of, refusal_of
from console.page import frame_of, page, redirect
from domain.artifacts.policies import MAX_APPROVALS, SCOPE
from domain.errors import Invalid, Refused
from domain.names import MAX_LABEL, check_label
from projections.events.history import people_of
from projections.events.policies import PolicyRow
from projections.read.versions import snapshot

# In the API approvals alone protect a label; a form says both, and means one of them.
CONTRADICTION = "With approvals a label moves by a promotion alone: choose none for one that every key may move that may write."


class Typed(msgspec.Struct, frozen=True):
    """What the form shows: what was refused, else the policy that the label has."""

    label: str
    is_known: bool
    protected: bool
    approvals: str


@get("/policies", opt={"scope": SCOPE})
async def policies(request: Request[Any, Any, Any]) -> Response[Any]:
    query = query_of(request)
    return await _policies(request, Form([("label", query.text("label", max_length=MAX_LABEL) or "")]))


@post("/policies", opt={"scope": SCOPE})
async def change_policies(request: Request[Any, Any, Any]) -> Response[Any]:
    form = await form_of(request)
    label = form.line("label")
    try:
        check_label(label)
        if form.line("do") == "remove":
            await commands.remove_policy(context(request), label)
            words = f"'{label}' is a label like any other again."
        else:
            sent = {"protected": form.line("protected") == "yes", "approvals": form.integer("approvals")}
            wanted = checked(SetPolicy, sent)
            if wanted.approvals and not sent["protected"]:
                raise Invalid(CONTRADICTION, attr="approvals")
            await commands.set_policy(context(request), label, wanted)
            words = f"The policy of '{label}' is set."
    except Refused as error:
        return await _policies(request, form, refusal_of(error))
    return redirect(request, frame_of(request).now("policies"), flash(request, "done", words))


async def _policies(
    request: Request[Any, Any, Any], form: Form, refusal: Refusal | None = None
) -> Response[Any]:
    async with services(request).pool.connection() as conn, snapshot(conn):
        _, then = await past.shown(conn, query_of(request))
        rules = await policies_of(conn, project_of(request), then.position if then else None)
        people = await people_of(
            conn, {row.updated_by for row in rules.values() if row.updated_by is not None}
        )
    return await page(
        request,
        "policies.html",
        status=refusal.status if refusal else 200,
        past=then,
        active="promotions",
        rules=list(rules.values()),
        people=people,
        typed=_typed(form, rules),
        refusal=refusal,
        max_approvals=MAX_APPROVALS,
        max_label=MAX_LABEL,
    )


def _typed(form: Form, rules: Mapping[str, PolicyRow]) -> Typed:
    label = form.line("label")
    known = rules.get(label)
    if form.line("do") == "set":
        return Typed(label, known is not None, form.line("protected") != "no", form.line("approvals"))
    if known is None:
        return Typed(label, False, True, "0")
    return Typed(label, True, known.protected, str(known.approvals))


HANDLERS = (policies, change_policies)
