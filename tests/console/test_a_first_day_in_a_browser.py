"""A first day with the console in Chromium: from the sign-in link to a promotion that is rolled back."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import WIDE, chromium, needs_chromium, watched
from tests.support.service import Service

pytestmark = needs_chromium

WRITES = ("llm_skill:write", "llm_skill:promote", "project:admin")
REVIEWS = ("llm_skill:read", "llm_skill:promote")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def signed_in(browser: Browser, service: Service, key: str) -> tuple[BrowserContext, Page, list[str]]:
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    # The link is pasted into the browser: nothing led there, so it signs in at once.
    page.goto(service.make_link(key))
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return context, page, complaints


def test_from_the_sign_in_link_to_a_promotion_that_is_rolled_back(
    browser: Browser, running_service: Service
) -> None:
    project = running_service.make_project("First day").id
    ada = running_service.make_key(WRITES, [project])
    ben = running_service.make_key(
        REVIEWS, [project], email=running_service.make_user(first_name="Ben").email
    )
    with running_service.client(ada, project) as client:
        made = {"name": "forms", "description": "Fill in forms.", "body": "Fill the form in one go.\n"}
        assert client.post("llm_skills/", json=made).status_code == 201
        changed = {"base_version": 1, "body": "Fill the form in two steps.\n"}
        assert client.patch("llm_skills/name/forms", json=changed).status_code == 200
    writing, author, complaints = signed_in(browser, running_service, ada)
    base = f"{running_service.base_url}/console/projects/{project}"

    # A label is set by the keyboard alone, on the first version.
    author.goto(f"{base}/skills")
    author.get_by_role("link", name="forms", exact=True).click()
    author.get_by_role("link", name="Labels", exact=True).click()
    author.get_by_role("link", name="Set a label").press("Enter")
    author.get_by_label("Label", exact=True).fill("production")
    author.get_by_label("to version").select_option("1")
    author.keyboard.press("Tab")
    author.keyboard.press("Enter")
    author.get_by_role("button", name="Set it now").press("Enter")
    expect(author.get_by_text("'production' points to version 1.")).to_be_visible()

    # It is protected, so the next version is asked for.
    author.get_by_role("link", name="Label policies").click()
    author.get_by_label("Label", exact=True).fill("production")
    author.locator("select[name=approvals]").select_option("1")
    author.get_by_role("button", name="Save").click()
    expect(author.get_by_text("a promotion with 1 approval")).to_be_visible()
    author.goto(f"{base}/skills/forms/labels/production")
    author.get_by_role("link", name="Move it").click()
    expect(author.locator("tr.added", has_text="two steps")).to_be_visible()
    expect(author.get_by_role("button", name="Move it now")).to_have_count(0)
    author.get_by_label("What for").fill("Two steps are easier")
    author.get_by_role("button", name="Request a promotion").click()
    expect(author.get_by_text("You requested it: others approve it.")).to_be_visible()

    # Another person finds it, looks at what changes, and approves.
    reviewing, reviewer, more = signed_in(browser, running_service, ben)
    reviewer.goto(f"{base}/skills")
    reviewer.get_by_role("link", name="Promotions 1").click()
    reviewer.get_by_role("link", name="forms").click()
    expect(reviewer.get_by_text("Two steps are easier")).to_be_visible()
    expect(reviewer.locator("tr.added", has_text="two steps")).to_be_visible()
    assert [
        one["id"]
        for one in Axe().run(reviewer).response["violations"]
        if one["impact"] in ("serious", "critical")
    ] == []
    reviewer.get_by_label("Comment").fill("Tried it")
    reviewer.get_by_role("button", name="Approve").click()
    expect(reviewer.get_by_text("'production' points to version 2.")).to_be_visible()

    # It was a mistake: the way back is the same.
    author.reload()
    author.get_by_role("link", name="Roll back to version 1").click()
    expect(author.get_by_label("What for")).to_have_value("Back to version 1")
    author.get_by_role("button", name="Request a promotion").click()
    reviewer.goto(author.url)
    reviewer.get_by_role("button", name="Approve").click()
    expect(reviewer.get_by_text("'production' points to version 1.")).to_be_visible()
    author.goto(f"{base}/skills/forms?label=production")
    expect(author.get_by_text("Fill the form in one go.").first).to_be_visible()

    # The second version goes, too: a third has what the first had.
    author.goto(f"{base}/skills/forms?version=1")
    author.get_by_role("link", name="Revert to version 1").click()
    author.get_by_role("button", name="Publish version 3").click()
    expect(author.get_by_text("Version 3 has what version 1 had.")).to_be_visible()
    assert complaints == more == []
    writing.close()
    reviewing.close()
