"""The console in Chromium: each view with hostile texts in it, narrow, in both colour schemes, by keyboard, without scripts."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import NARROW, WIDE, chromium, needs_chromium, watched
from tests.support.service import Service

pytestmark = needs_chromium

SCOPES = (
    "llm_skill:write",
    "llm_prompt:write",
    "llm_skill:promote",
    "project:admin",
    "usage:read",
    "event:read",
)
LONG, LABEL = "n" * 64, "l" * 128
SCRIPT = "<script>alert('own')</script><img src=x onerror=alert(1)><svg onload=alert(2)></svg>"
TURNED = "a\u202egnp.exe"
BODY = f"""# Forms {SCRIPT}

Read [the script](scripts/fill.py), [never](javascript:alert(1)), [away](https://example.com).

<script>alert(1)</script>

![remote](https://example.com/x.png) ![local](img/dot.png) {TURNED}

## Table

| a | b |
|---|---|
| 1 | 2 |

- [ ] one
"""
PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
        "0000000049454e44ae426082"
    )
).decode()
# What sticks out of the screen.
TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest(".source, .scroll, pre"))
  .slice(0, 3).map((one) => one.outerHTML.slice(0, 120))"""
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


class Project:
    """A project with skills and prompts of every kind of trouble."""

    def __init__(self, service: Service) -> None:
        self.id = service.make_project("Trouble").id
        self.base_url = service.base_url
        self.key = service.make_key(SCOPES, [self.id])
        with service.client(self.key, self.id) as client:
            self.fill(client)

    promotion = ""  # an open one

    def fill(self, client: httpx.Client) -> None:
        def ok(answer: httpx.Response) -> None:
            assert answer.status_code < 300, answer.text

        files = [
            {"path": "scripts/fill.py", "content": "def fill():\n    return '<b>'  # \u202e\n"},
            {"path": "img/dot.png", "content": PNG, "encoding": "base64", "content_type": "image/png"},
            {"path": f"deep/folder/{TURNED}", "content": SCRIPT},
            {"path": "long.txt", "content": "y" * 900_000},
        ]
        skill = {"name": "pdf-forms", "description": f"Fills {SCRIPT} {TURNED}", "body": BODY, "files": files}
        ok(client.post("llm_skills/", json={**skill, "metadata": {SCRIPT: TURNED}}))
        ok(client.get("llm_skills/name/pdf-forms"))
        changed = {"base_version": 1, "body": BODY.replace("Read", "Do read") + "\nMore.\n", "license": "MIT"}
        ok(client.patch("llm_skills/name/pdf-forms", json=changed))
        ok(client.post("llm_skills/", json={"name": "one-line", "description": "d", "body": "x" * 900_000}))
        prompt = {"name": "Tone", "prompt": f"# Be kind\n\n{SCRIPT}\n", "config": {"temperature": 0.5}}
        ok(client.post("llm_prompts/", json=prompt))
        ok(client.put("llm_prompts/name/Tone/labels/production", json={"version": 1}))
        mark = "@@@prompt:name=Tone|label=production@@@"
        nested = "".join(f"{'  ' * level}- level {level}\n" for level in range(40))
        text = f"{mark} `{mark}`\n\n{'> ' * 60}deep\n\n{nested}"
        ok(client.post("llm_prompts/", json={"name": "agent", "prompt": text}))
        ok(client.put("llm_skills/name/pdf-forms/labels/production", json={"version": 1}))
        # As long as they may be, and without a place to break a line.
        long = {"name": LONG, "description": "d" * 1024, "body": "b" * 3000, "tags": ["t" * 64, "u" * 64]}
        ok(client.post("llm_skills/", json=long))
        ok(client.put(f"llm_skills/name/{LONG}/labels/{LABEL}", json={"version": 1}))
        ok(client.put("label-policies/production", json={"approvals": 2}))
        wanted = {"label": "production", "version": 2, "note": f"{SCRIPT} {TURNED}"}
        requested = client.post("llm_skills/name/pdf-forms/promotions", json=wanted)
        ok(requested)
        self.promotion = requested.json()["id"]
        ok(client.post("llm_skills/", json={"name": "gone", "description": f"d {SCRIPT}", "body": "b"}))
        ok(client.post("llm_skills/name/gone/archive"))
        ok(
            client.post(
                "llm_prompts/", json={"name": "chat", "prompt": [{"role": "user", "content": SCRIPT}]}
            )
        )

    def url(self, path: str = "") -> str:
        return f"{self.base_url}/console/projects/{self.id}/{path}"


@pytest.fixture(scope="module")
def project(running_service: Service) -> Project:
    return Project(running_service)


VIEWS = (
    "skills",
    "skills?search=forms&order_by=name",
    "skills?search=nothing-like-it",
    "skills/pdf-forms",
    "skills/pdf-forms?view=source",
    "skills/one-line",
    "skills/pdf-forms/files/scripts/fill.py",
    "skills/pdf-forms/files/img/dot.png",
    "skills/pdf-forms/files/long.txt",
    f"skills/pdf-forms/files/deep/folder/{TURNED}",
    "skills/pdf-forms/timeline",
    "skills/pdf-forms/compare?from=1&to=2",
    "skills/pdf-forms/compare?from=1&to=2&view=beside",
    "skills/pdf-forms/blame",
    "skills/pdf-forms/usage",
    "skills/pdf-forms?as_of=2999-01-01T00:00:00Z",
    "skills/none",
    "search",
    "search?q=forms",
    "prompts",
    "prompts/Tone",
    "prompts/chat",
    "prompts/agent",
    "skills/pdf-forms/labels",
    "skills/pdf-forms/labels/production",
    "skills/pdf-forms/move?label=production&version=2",
    "skills/pdf-forms/manage",
    "skills/pdf-forms/archive",
    "skills/pdf-forms/revert?version=1",
    "skills/pdf-forms/yank?version=1",
    "promotions",
    "promotions/PROMOTION",
    "policies",
    "archive/skills",
    "audit",
    "live",
    "/console/sessions",
)


def sign_in(context: BrowserContext, project: Project) -> None:
    page = context.new_page()
    page.goto(project.url("skills"))
    page.get_by_label("API key").fill(project.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Skills")).to_be_visible()
    page.close()


@pytest.fixture(scope="module")
def state(browser: Browser, project: Project) -> Any:
    """What a browser keeps that has signed in once."""
    context = browser.new_context()
    sign_in(context, project)
    found = context.storage_state()
    context.close()
    return found


# With names as long as they may be: only whether they fit is looked at.
OF_LONG_NAMES = tuple(f"skills/{LONG}{place}" for place in ("", "/timeline", "/labels", f"/labels/{LABEL}"))


def address(project: Project, view: str) -> str:
    view = view.replace("PROMOTION", project.promotion)
    return f"{project.base_url}{view}" if view.startswith("/") else project.url(view)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_runs_nothing_of_others_and_can_be_read_by_all(
    browser: Browser, project: Project, state: Any, scheme: Any
) -> None:
    context = browser.new_context(storage_state=state, color_scheme=scheme, viewport=WIDE)
    page, complaints = watched(context)
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url))
    faults: list[str] = []
    for view in VIEWS:
        page.goto(address(project, view))
        found = Axe().run(page).response["violations"]
        faults += [
            f"{view}: {one['id']} {[node['html'][:150] for node in one['nodes'][:2]]}"
            for one in found
            if one["impact"] in SERIOUS
        ]
    assert faults == [], "\n".join(faults)
    assert complaints == []
    assert [url for url in foreign if not url.startswith(project.base_url)] == []
    context.close()


def test_every_view_fits_a_narrow_screen(browser: Browser, project: Project, state: Any) -> None:
    context = browser.new_context(storage_state=state, viewport=NARROW)
    page, complaints = watched(context)
    wide = {}
    for view in (*VIEWS, *OF_LONG_NAMES):
        page.goto(address(project, view))
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > NARROW["width"]:
            wide[view] = width, page.evaluate(TOO_WIDE)
    assert wide == {}
    assert complaints == []
    context.close()


def test_from_the_sign_in_to_a_version_by_the_keyboard_alone(browser: Browser, project: Project) -> None:
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    page.goto(project.url("skills"))
    # The field has the focus.
    page.keyboard.type(project.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Skills")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    page.keyboard.press("/")
    # What is typed is sought at once; Enter would send the form.
    page.keyboard.type("forms")
    expect(page).to_have_url(project.url("skills?search=forms&order_by=-created_at"))
    expect(page.get_by_role("link", name="one-line")).to_have_count(0)
    tab_to(page, "pdf-forms")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="pdf-forms")).to_be_visible()
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    expect(page.locator("ins", has_text="Do").first).to_be_visible()
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert complaints == []
    context.close()


def tab_to(page: Page, name: str) -> None:
    """Go on by Tab until the focus is on a link or button of this name, which shows it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        text = page.evaluate("document.activeElement.textContent.trim()")
        if text == name:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"the keyboard does not reach {name}")


def test_it_works_without_scripts(browser: Browser, project: Project) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=WIDE)
    sign_in(context, project)
    page = context.new_page()
    page.goto(project.url("skills"))
    page.get_by_label("Search", exact=True).fill("forms")
    page.get_by_role("button", name="Show").first.click()
    page.get_by_role("link", name="pdf-forms").click()
    page.get_by_role("link", name="Compare").click()
    page.locator("select[name=view]").select_option("beside")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("ins").first).to_be_visible()
    page.get_by_role("link", name="Timeline").click()
    page.get_by_role("link", name="Then").last.click()
    expect(page.get_by_text("The past", exact=True)).to_be_visible()
    page.get_by_role("link", name="Back to now").click()
    expect(page.get_by_text("The past", exact=True)).to_have_count(0)
    page.goto(project.url("live"))
    expect(page.get_by_text("Load the page again")).to_be_visible()
    context.close()


def test_what_happens_shows_by_itself(
    browser: Browser, running_service: Service, project: Project, state: Any
) -> None:
    context = browser.new_context(storage_state=state)
    page, complaints = watched(context)
    page.goto(project.url("live"))
    expect(page.get_by_text("Following")).to_be_visible()
    with running_service.client(project.key, project.id) as client:
        client.post("llm_skills/", json={"name": "just-now", "description": "d", "body": "b"})
    expect(page.get_by_role("link", name="just-now")).to_be_visible()
    page.get_by_role("link", name="just-now").click()
    expect(page.get_by_text("Created")).to_be_visible()
    assert complaints == []
    context.close()


def test_the_slider_and_the_clock_lead_to_the_past(browser: Browser, project: Project, state: Any) -> None:
    context = browser.new_context(storage_state=state, viewport=WIDE)
    page, complaints = watched(context)
    page.goto(project.url("skills/pdf-forms/timeline"))
    page.get_by_label("Go back", exact=True).focus()
    page.keyboard.press("Home")
    page.get_by_role("link", name="Show", exact=True).click()
    expect(page.get_by_text("The past", exact=True)).to_be_visible()
    expect(page.get_by_text("version 1", exact=True)).to_be_visible()
    page.get_by_text("Another time").click()
    instant = page.locator(".clock input[type=datetime-local]").bounding_box()
    assert instant is not None
    assert instant["width"] > 150
    page.get_by_label("Show the project as of (UTC)").fill("2020-01-01T00:00:00")
    page.locator(".clock button").click()
    expect(page.get_by_text("Not Found").first).to_be_visible()
    assert complaints == []
    context.close()
