"""The views of an operator in Chromium: hostile names, both colour schemes, narrow, by keyboard, and secrets that are shown once."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import NARROW, WIDE, chromium, needs_chromium, watched
from tests.support.service import Service

pytestmark = needs_chromium

SCOPES = ("project:admin", "llm_skill:write", "webhook:write", "user:write")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp " + "y" * 100
SERIOUS = ("serious", "critical")
VIEWS = (
    "keys",
    "keys/new",
    "people",
    "shares",
    "shares/new",
    "webhooks",
    "webhooks/new",
    "webhooks/{hook}",
    "webhooks/{hook}/delete",
    "health",
    "people/new",  # refused
)
# Boxes that something else lies on, so that a click does not reach them.
COVERED = """[...document.querySelectorAll("main input[type=checkbox]")].filter(box => {
  if (!box.checkVisibility()) return false;
  box.scrollIntoView({block: "center"});
  const at = box.getBoundingClientRect();
  return document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2) !== box;
}).map(box => box.value)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def check(page: Page, view: str) -> list[str]:
    """What axe finds on a page, whether it sticks out of a narrow screen, and boxes that cannot be clicked."""
    violations = Axe().run(page).response["violations"]
    faults = [
        f"{view}: {one['id']} {[node['html'][:150] for node in one['nodes'][:2]]}"
        for one in violations
        if one["impact"] in SERIOUS
    ]
    if (
        page.viewport_size == NARROW
        and page.evaluate("document.documentElement.scrollWidth") > NARROW["width"]
    ):
        faults.append(f"{view} is too wide")
    faults += [f"{view}: the box of {box} is covered" for box in page.evaluate(COVERED)]
    return faults


def test_an_operator_at_work(browser: Browser, running_service: Service) -> None:
    project = running_service.make_project("Operated").id
    user = running_service.make_user(first_name=HOSTILE[:60].replace("\u202e", ""))
    key = running_service.make_key(SCOPES, [project], email=user.email)

    def url(path: str) -> str:
        return f"{running_service.base_url}/console/projects/{project}/{path}"

    with running_service.client(key, project) as client:
        hook: dict[str, Any] = client.post(
            "webhooks/",
            json={
                "url": "https://example.com/hook?" + "x" * 200,
                "description": HOSTILE.replace("\u202e", ""),
            },
        ).json()
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    page.goto(url("keys"))
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()

    # A key, by the keyboard alone; its secret is shown once.
    page.get_by_role("link", name="Make a key").press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("by <b>hand</b>")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    secret = page.locator(".line code").first
    expect(secret).to_contain_text("sk_")
    shown = secret.text_content() or ""
    faults = check(page, "a new key")
    assert shown not in page.url
    page.reload()
    expect(page.get_by_text("This form was sent before")).to_be_visible()
    assert shown not in page.content()
    page.get_by_role("link", name="To the keys").click()

    page.goto(url("shares/new"))
    page.get_by_label("Name", exact=True).fill("team")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("npx skills add")).to_be_visible()
    faults += check(page, "a new share")
    page.goto(url("keys"))
    page.get_by_role("link", name="Revoke by <b>hand</b>").click()
    faults += check(page, "a question")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("is revoked.")).to_be_visible()
    page.goto(url("webhooks/new"))
    page.get_by_label("Address").fill("http://user:password@example.com/")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_contain_text("Leave user and password out")
    faults += check(page, "a form that was refused")

    # A choice in a form that acts is not sent by itself.
    page.goto(url(f"webhooks/{hook['id']}"))
    page.get_by_label("The one before signs").select_option("for a week")
    expect(page.get_by_label("The one before signs")).to_have_value("604800")
    page.get_by_role("button", name="Make another").click()
    expect(page.get_by_text("signs as well until")).to_be_visible()

    state = context.storage_state()
    context.close()
    for scheme in ("light", "dark"):
        looked = browser.new_context(
            storage_state=state, color_scheme=scheme, viewport=WIDE if scheme == "light" else NARROW
        )
        page, more = watched(looked)
        for view in VIEWS:
            page.goto(url(view.format(hook=hook["id"])))
            faults += check(page, f"{view}, {scheme}")
        complaints += more
        looked.close()
    assert faults == []
    assert complaints == []
