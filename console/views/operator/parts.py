"""What the views of an operator share: their tabs, forms that count once, questions before what cannot be taken back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from litestar import Request, Response

from api.commands.caller import caller_of
from api.commands.execute import Caller
from api.http.context import context
from api.http.requests import as_uuid
from console.forms import Form
from console.page import Frame, frame_of, page
from domain.artifacts import policies
from domain.errors import Invalid, Refused

ADMIN = policies.SCOPE
SKILLS, SKILLS_WRITE = "llm_skill:read", "llm_skill:write"

# How long something new may be good, in days; None: until it is revoked.
LASTS: Sequence[tuple[int | None, str]] = (
    (7, "7 days"),
    (30, "30 days"),
    (90, "90 days"),
    (365, "a year"),
    (None, "until it is revoked"),
)
DEFAULT_LASTS = "90"


class Tab(NamedTuple):
    """``scope`` is what the view needs, None for nothing but a key."""

    place: str
    title: str
    scope: str | None


# What each needs is what the API asks for the same; keys and health are no part of that.
TABS = (
    Tab("keys", "Keys", ADMIN),
    Tab("people", "People", None),
    Tab("shares", "Shares", SKILLS),
    Tab("webhooks", "Webhooks", "webhook:read"),
    Tab("health", "Health", ADMIN),
)


def tabs_of(frame: Frame) -> list[Tab]:
    return [tab for tab in TABS if tab.scope is None or frame.may(tab.scope)]


async def tab_page(
    request: Request[Any, Any, Any], template: str, tab: str, *, status: int = 200, **values: Any
) -> Response[Any]:
    """A view below one of the tabs."""
    tabs = tabs_of(frame_of(request))
    return await page(request, template, status=status, active="operate", tab=tab, tabs=tabs, **values)


async def question(
    request: Request[Any, Any, Any],
    tab: str,
    *,
    title: str,
    text: str,
    about: Sequence[tuple[str, str]],
    button: str,
    back: str,
) -> Response[Any]:
    """Asks before what cannot be taken back; the answer is a POST to the same address. ``about``: names with their values."""
    return await tab_page(
        request, "operator-question.html", tab, title=title, text=text, about=about, button=button, back=back
    )


class Typed(NamedTuple):
    """What a form shows: the fields as they were sent, why it was refused, and the mark that makes it count once."""

    form: Form
    refused: Refused | None
    once: str

    def text(self, name: str, default: str = "") -> str:
        """What a field holds: as it was sent, else as it was set."""
        return self.form.text(name) if self.form.fields else default

    def has(self, name: str, value: str, default: bool = False) -> bool:
        """Whether one of several boxes is ticked."""
        return value in self.form.all(name) if self.form.fields else default

    def wrong(self, name: str) -> bool:
        """Whether it is this field that is to blame."""
        attr = self.refused.attr if self.refused else None
        return attr is not None and attr.partition("__")[0] == name


def typed(form: Form | None = None, refused: Refused | None = None) -> Typed:
    """An empty form, or one that was refused."""
    return Typed(form or Form([]), refused, uuid4().hex if form is None else form.line("once"))


async def caller_once(request: Request[Any, Any, Any], form: Form) -> Caller:
    """The caller of a form that counts once: loaded anew or sent twice, it makes nothing again, and shows no secret.

    Raises Invalid for a form without its mark.
    """
    once = form.line("once")
    if len(once) != 32 or as_uuid(f"{once[:8]}-{once[8:12]}-{once[12:16]}-{once[16:20]}-{once[20:]}") is None:
        raise Invalid("This form is not whole; load its page again.")
    sent = msgspec.json.encode((request.url.path, form.fields))
    caller = await caller_of(context(request))
    return msgspec.structs.replace(caller, idempotency_key=once, fingerprint=sha256(sent).digest())


def lasts_of(form: Form) -> timedelta | None:
    """For how long, of ``LASTS``; None for no end. Raises Invalid that blames ``lasts``."""
    chosen = form.line("lasts")
    for days, _ in LASTS:
        if chosen == ("" if days is None else str(days)):
            return None if days is None else timedelta(days=days)
    raise Invalid("Choose one of the times.", attr="lasts")


def choices_of(until: datetime | None = None) -> list[tuple[str, str]]:
    """The values and names of ``LASTS``, as far as they end by an instant."""
    now = datetime.now(UTC)
    return [
        ("" if days is None else str(days), name)
        for days, name in LASTS
        if until is None or (days is not None and now + timedelta(days=days) <= until)
    ]


def number_in(text: str, attr: str, highest: int) -> int:
    """A whole number of 1 or more. Raises Invalid that blames ``attr``."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:20]) <= highest:
        raise Invalid("This must be a whole number of 1 or more.", attr=attr)
    return int(text)
