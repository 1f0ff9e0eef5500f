"""Writing in Chromium: what is kept by itself, two browsers on one skill, hostile texts, narrow and dark, by keyboard."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import NARROW, WIDE, chromium, needs_chromium, watched
from tests.support.service import Service

pytestmark = needs_chromium

SCOPES = ("llm_skill:write", "llm_prompt:write")
HOSTILE = "</textarea><script>alert(1)</script><svg onload=alert(2)> [x](javascript:alert(3)) a\u202egnp.exe"
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


class Project:
    def __init__(self, service: Service) -> None:
        self.id = service.make_project("Writing").id
        self.base_url = service.base_url
        self.key = service.make_key(SCOPES, [self.id])
        self.service = service
        lines = "".join(f"Line {number}.\n" for number in range(9))
        self.create("edited", lines)
        self.create("other", lines)
        self.create("shared", lines)
        self.create("hostile", f"{HOSTILE}\n{'x' * 900_000}")

    def create(self, name: str, body: str) -> None:
        skill = {
            "name": name,
            "description": f"D {HOSTILE}",
            "body": body,
            "files": [{"path": "a.md", "content": HOSTILE}],
        }
        with self.service.client(self.key, self.id) as client:
            answer = client.post("llm_skills/", json=skill)
            assert answer.status_code == 201, answer.text

    def body(self, name: str) -> tuple[int, str]:
        with self.service.client(self.key, self.id) as client:
            found = client.get(f"llm_skills/name/{name}").json()
        return found["version"], found["body"]

    def url(self, path: str) -> str:
        return f"{self.base_url}/console/projects/{self.id}/{path}"


@pytest.fixture(scope="module")
def project(running_service: Service) -> Project:
    return Project(running_service)


@pytest.fixture(scope="module")
def state(browser: Browser, project: Project) -> Any:
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, project)
    found = context.storage_state()
    context.close()
    return found


def sign_in(page: Page, project: Project) -> None:
    page.goto(project.url("skills"))
    page.get_by_label("API key").fill(project.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Skills")).to_be_visible()


def text_of(page: Page) -> Any:
    return page.get_by_label("Text of SKILL.md")


def reopen(page: Page, url: str, text: str) -> None:
    """Open the page until the draft of a tab that was closed has come."""
    for _ in range(50):
        page.goto(url)
        if text_of(page).input_value() == text:
            break
        page.wait_for_timeout(100)
    expect(text_of(page)).to_have_value(text)


def test_a_draft_outlives_its_tab_and_is_published_by_the_keyboard(
    browser: Browser, project: Project, state: Any
) -> None:
    context = browser.new_context(storage_state=state, viewport=WIDE)
    page, complaints = watched(context)
    page.goto(project.url("skills/edited"))
    page.get_by_role("link", name="Edit", exact=True).press("Enter")
    text_of(page).fill("One line.\n[gone](gone.md)\n")
    expect(page.get_by_text("Kept as a draft.")).to_be_visible()
    expect(page.locator("#state").get_by_text("no such file")).to_be_visible()
    # At once, as each key begins the rest anew: what is closed before it has rested is kept on its way out.
    text_of(page).fill("One line.\n[gone](gone.md)\nAt the end.")
    page.close(run_before_unload=True)
    page, more = watched(context)
    reopen(page, project.url("skills/edited/edit"), "One line.\n[gone](gone.md)\nAt the end.")
    page.get_by_label("License").fill("MIT")
    # A click while it is being kept waits for that.
    page.get_by_label("License").press("Enter")
    expect(page.get_by_role("button", name="Publish version 2")).to_be_visible()
    expect(page.locator("ins", has_text="MIT")).to_be_visible()
    page.get_by_label("Note for the version").fill("By hand")
    page.get_by_label("Note for the version").press("Enter")
    expect(page.get_by_text("It is published as version 2.")).to_be_visible()
    assert project.body("edited")[0] == 2
    # There is one draft of one tab, and none is left.
    page.goto(project.url("skills/edited/edit"))
    expect(page.get_by_role("button", name="Discard the draft")).to_have_count(0)
    assert complaints + more == []
    context.close()


def test_what_is_written_while_a_draft_is_on_its_way_outlives_the_tab(
    browser: Browser, project: Project, state: Any
) -> None:
    context = browser.new_context(storage_state=state)
    page = context.new_page()
    page.goto(project.url("skills/other/edit"))
    # The first is on its way for ever.
    page.evaluate(
        "() => { const send = fetch; fetch = () => { fetch = send; return new Promise(() => {}); }; }"
    )
    text_of(page).fill("Earlier.\n")
    expect(page.get_by_text("Keeping …")).to_be_visible()
    text_of(page).fill("Earlier.\nLater.\n")
    page.close(run_before_unload=True)
    page = context.new_page()
    reopen(page, project.url("skills/other/edit"), "Earlier.\nLater.\n")
    context.close()


def test_two_browsers_edit_one_skill_and_nothing_is_lost(browser: Browser, project: Project) -> None:
    contexts: list[BrowserContext] = []
    pages: list[Page] = []
    for _ in range(2):
        context = browser.new_context(viewport=WIDE)
        page = context.new_page()
        sign_in(page, project)
        contexts.append(context)
        pages.append(page)
    # One of them has no scripts to help.
    first, second = pages
    for page in pages:
        page.goto(project.url("skills/shared/edit"))
    text_of(first).fill(text_of(first).input_value().replace("Line 0", "Mine"))
    first.get_by_role("button", name="Preview and publish").click()
    text_of(second).fill(text_of(second).input_value().replace("Line 8", "Theirs").replace("Line 0", "Zero"))
    second.get_by_role("button", name="Preview and publish").click()
    for page in (second, first):
        page.get_by_role("button", name="Publish version 2").click()
    expect(second.get_by_text("It is published as version 2.")).to_be_visible()
    expect(first.get_by_role("heading", name="Both have changed the same lines")).to_be_visible()
    expect(first.get_by_text("What version 2 has changed")).to_be_visible()
    first.get_by_role("button", name="Put both together").click()
    merged = text_of(first).input_value()
    assert "<<<<<<< yours\nMine.\n=======\nZero.\n>>>>>>> version 2\n" in merged
    assert "Theirs." in merged
    text_of(first).fill(re.sub(r"(?s)<<<.*?>>> version 2\n", "Both.\n", merged))
    first.get_by_role("button", name="Preview and publish").click()
    first.get_by_role("button", name="Publish version 3").click()
    expect(first.get_by_text("It is published as version 3.")).to_be_visible()
    number, body = project.body("shared")
    assert (number, body.splitlines()[0], body.splitlines()[-1]) == (3, "Both.", "Theirs.")
    for context in contexts:
        context.close()


def test_a_text_outlives_the_session_in_a_browser_without_scripts(
    browser: Browser, project: Project, state: Any
) -> None:
    context = browser.new_context(storage_state=state, java_script_enabled=False)
    page = context.new_page()
    page.goto(project.url("skills/new"))
    page.get_by_label("Name", exact=True).fill("outlives")
    text_of(page).fill("Typed for an hour.")
    context.clear_cookies()
    page.get_by_role("button", name="Keep as draft").click()
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    page.get_by_label("API key").fill(project.key)
    page.get_by_role("button", name="Sign in and go on").click()
    expect(text_of(page)).to_have_value("Typed for an hour.")
    expect(page.get_by_label("Name", exact=True)).to_have_value("outlives")
    context.close()


@pytest.mark.parametrize(("scheme", "size"), [("light", NARROW), ("dark", WIDE)])
def test_every_page_of_a_draft_can_be_read_by_all(
    browser: Browser, project: Project, state: Any, scheme: Any, size: Any
) -> None:
    context = browser.new_context(storage_state=state, color_scheme=scheme, viewport=size)
    page, complaints = watched(context)
    page.goto(project.url("skills/hostile/edit"))
    page.get_by_label("License").fill("x" * 300)
    expect(page.locator("#state").get_by_text("at most 255")).to_be_visible()
    seen = [page.url, project.url("skills/hostile/edit"), project.url("skills/hostile/edit/file?file=1")]
    seen += [project.url("skills/new"), project.url("prompts/new")]
    seen += [
        project.url("drafts"),
        project.url("skills/hostile/owners"),
        project.url("skills/edited?version=1"),
    ]
    page.get_by_label("License").fill("MIT " + HOSTILE)
    page.get_by_role("button", name="Preview and publish").click()
    expect(page.get_by_role("button", name=re.compile("Publish version"))).to_be_visible()
    seen.append(page.url)
    with project.service.client(project.key, project.id) as client:
        now = client.get("llm_skills/name/hostile").json()
        changed = {"base_version": now["version"], "license": f"L {now['version']} {HOSTILE}"}
        assert client.patch("llm_skills/name/hostile", json=changed).status_code == 200
    seen.append(project.url("skills/hostile/edit/conflict"))
    faults = []
    for address in seen:
        page.goto(address)
        found = Axe().run(page).response["violations"]
        faults += [
            f"{address}: {one['id']} {[node['html'][:150] for node in one['nodes'][:2]]}"
            for one in found
            if one["impact"] in SERIOUS
        ]
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            faults.append(f"{address}: {width} pixels wide")
    assert faults == []
    assert complaints == []
    page.goto(project.url("skills/hostile/edit/conflict"))
    page.get_by_role("button", name="Discard mine").click()
    context.close()
