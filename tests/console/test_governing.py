"""Labels, promotions, policies, archive, revert, owners, tags and names: what is changed from a page runs as the API runs it."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.support.browsing import Browser, check_page
from tests.support.governing import another, with_scopes
from tests.support.space import NewSpace, Space

SCRIPT = "<script>alert('own')</script>"
TURNED = "a\u202egnp.exe"
ALL = ("*",)

OpenBrowser = Callable[..., Awaitable[Browser]]


@pytest_asyncio.fixture(loop_scope="session")
async def ada(new_space: NewSpace) -> Space:
    """A project whose one skill has three versions; its key may do everything."""
    space = await new_space(scopes=ALL)
    await space.create("pdf-forms", body="Fill it in one go.\n")
    await space.publish("pdf-forms", 1, body="Fill it in two steps.\n")
    await space.publish("pdf-forms", 2, body="Fill it in three goes.\n")
    return space


@pytest_asyncio.fixture(loop_scope="session")
async def browser(ada: Space, open_browser: OpenBrowser) -> Browser:
    return await open_browser(ada)


async def sent(browser: Browser, path: str, **form: Any) -> str:
    """The page that a form leads to."""
    answer = await browser.post(path, form)
    assert answer.status_code == 303, answer.text[:3000]
    shown = await browser.get(answer.headers["location"])
    assert shown.status_code == 200
    check_page(shown)
    return shown.text


async def refused(browser: Browser, path: str, status: int, **form: Any) -> str:
    """The page that says why a form did nothing."""
    answer = await browser.post(path, form)
    assert answer.status_code == status, (answer.status_code, answer.text[:3000])
    check_page(answer)
    return answer.text


async def prompt(space: Space, name: str, text: str) -> None:
    made = await space.at("POST", "llm_prompts/", json={"name": name, "prompt": text})
    assert made.status_code == 201, made.text


async def test_a_label_is_set_moved_rolled_back_and_removed(ada: Space, browser: Browser) -> None:
    assert "It has no labels" in await browser.page("skills/pdf-forms/labels")
    preview = await browser.page("skills/pdf-forms/move", label="production", version=1)
    assert "nowhere →" in preview
    assert "Set it now" in preview
    page = await sent(browser, "skills/pdf-forms/move", label="production", version=1, how="move")
    assert "&#39;production&#39; points to version 1." in page

    preview = await browser.page("skills/pdf-forms/move", label="production", version=3)
    assert "<ins>three</ins>" in preview
    assert "Move it now" in preview
    await sent(browser, "skills/pdf-forms/move", label="production", version=3, how="move")
    assert (await ada.show(label="production"))["version"] == 3
    history = await browser.page("skills/pdf-forms/labels/production")
    assert "Roll back to version 1" in history
    assert "directly" in history
    assert "It points there already" in await browser.page(
        "skills/pdf-forms/move", label="production", version=3
    )

    page = await sent(browser, "skills/pdf-forms/labels/production", do="remove")
    assert "is removed" in page
    assert "points nowhere" in await browser.page("skills/pdf-forms/labels/production")
    # Where it pointed before is shown as of then.
    then = await browser.page("skills/pdf-forms/labels", as_of="2999-01-01T00:00:00Z")
    assert "It had no labels then." in then
    assert (await browser.get("skills/pdf-forms/labels/never")).status_code == 404


async def test_what_is_refused_says_why_and_keeps_what_was_typed(ada: Space, browser: Browser) -> None:
    move = "skills/pdf-forms/move"
    page = await refused(browser, move, 400, label="Not A Label", version=2, how="move", note="keep me")
    assert 'role="alert"' in page
    assert 'value="Not A Label"' in page
    page = await refused(browser, move, 404, label="staging", version=9, how="request", note="keep me")
    assert "has no version 9" in page
    page = await refused(browser, move, 400, label="staging", version=2, how="request", note=SCRIPT * 20)
    assert "Note: Use at most 400 characters" in page
    assert "&lt;script&gt;" in page
    page = await refused(browser, move, 400, label="staging", version="many", how="move")
    assert "Version: This must be an integer." in page
    await refused(browser, "skills/pdf-forms/manage", 400, do="rename", new_name="No Name")
    page = await refused(browser, "skills/pdf-forms/manage", 400, do="marks", tags="x" * 65)
    assert f'value="{"x" * 65}"' in page
    page = await refused(browser, "policies", 400, do="set", label="production", protected="yes", approvals=9)
    assert "Approvals: This must be 5 or less." in page
    page = await refused(browser, "policies", 400, do="set", label="production", protected="no", approvals=3)
    assert "With approvals a label moves by a promotion alone" in page
    assert "There is none: every key" in page
    assert 'value="production"' in page
    for path, form in (
        ("promotions/none", {"do": "approve"}),
        ("promotions/none", {"do": "x"}),
        ("archive/x", {}),
    ):
        answer = await browser.post(path, form)
        assert answer.status_code in (400, 404)
        check_page(answer)
    # Another site sends nothing here.
    foreign = await browser.post(move, {"label": "a", "version": 1}, headers={"Origin": "http://evil.test"})
    assert foreign.status_code == 403
    assert (await ada.show())["labels"] == []


async def test_a_protected_label_moves_and_moves_back_by_promotions(
    ada: Space, browser: Browser, open_browser: OpenBrowser
) -> None:
    await ada.set_label("production", 1)
    page = await sent(browser, "policies", do="set", label="production", protected="yes", approvals=2)
    assert "a promotion with 2 approvals" in page
    assert "protected, 2 approvals" in await browser.page("skills/pdf-forms/labels")
    preview = await browser.page("skills/pdf-forms/move", label="production", version=3)
    assert "Move it now" not in preview
    assert "Request a promotion" in preview
    page = await refused(
        browser, "skills/pdf-forms/move", 403, label="production", version=3, how="move", note="n"
    )
    assert "moves by a promotion with 2 approvals" in page
    await refused(browser, "skills/pdf-forms/labels/production", 403, do="remove")

    page = await sent(
        browser,
        "skills/pdf-forms/move",
        label="production",
        version=3,
        how="request",
        note=f"Try {SCRIPT} {TURNED}",
    )
    assert "2 more approvals and the label moves" in page
    assert "You requested it: others approve it." in page
    assert "U+202E" in page
    assert "<ins>three</ins>" in page
    id = re.search(r"promotions/([0-9a-f-]{36})", page)
    assert id is not None
    place = f"promotions/{id[1]}"
    assert "another one has to approve it" in await refused(browser, place, 403, do="approve", comment="mine")
    assert '<span class="count" title="1 promotion to decide">1</span>' in await browser.page("skills")
    assert "0 of 2" in await browser.page("promotions")

    grace = await open_browser(await another(ada, name="Grace"))
    hedy = await open_browser(await another(ada, ("llm_skill:read", "llm_skill:promote"), name="Hedy"))
    page = await sent(grace, place, do="approve", comment=f"Good {SCRIPT}")
    assert "1 more approval and the label moves (1 of 2 so far)" in page
    assert "You have approved it." in page
    page = await sent(hedy, place, do="approve")
    assert "&#39;production&#39; points to version 3." in page
    assert (await ada.show(label="production"))["version"] == 3
    page = await refused(hedy, place, 409, do="reject", comment="too late")
    assert "promoted already" in page
    page = await browser.page(place)
    assert "Roll back to version 1" in page
    assert "promotion</a>" in await browser.page("skills/pdf-forms/labels/production")

    page = await sent(
        browser, "skills/pdf-forms/move", label="production", version=1, how="request", note="Back"
    )
    back = f"promotions/{re.findall(r'promotions/([0-9a-f-]{36})', page)[0]}"
    await sent(grace, back, do="approve")
    await sent(hedy, back, do="approve")
    assert (await ada.show(label="production"))["version"] == 1
    assert "2 promoted" in await browser.page("promotions", status="promoted")

    # What ended otherwise says by whom and why.
    page = await sent(browser, "skills/pdf-forms/move", label="production", version=2, how="request")
    third = f"promotions/{re.findall(r'promotions/([0-9a-f-]{36})', page)[0]}"
    page = await sent(hedy, third, do="reject", comment="Not on a Friday")
    assert "Not on a Friday" in page
    assert "Hedy" in page
    page = await sent(browser, "skills/pdf-forms/move", label="production", version=2, how="request")
    fourth = f"promotions/{re.findall(r'promotions/([0-9a-f-]{36})', page)[0]}"
    assert "Withdrawn" in await sent(browser, fourth, do="withdraw")
    assert "4 promotions" in await browser.page("promotions", status="all")
    assert "None waits." in await browser.page("promotions")
    page = await sent(browser, "policies", do="remove", label="production")
    assert "every key that may write moves every label" in page


async def test_a_page_shows_and_does_no_more_than_the_key_may(
    ada: Space, browser: Browser, open_browser: OpenBrowser
) -> None:
    await ada.set_label("production", 1)
    await sent(browser, "policies", do="set", label="production", protected="yes", approvals=0)
    reader = await open_browser(await with_scopes(ada, ("llm_skill:read",)))
    writer = await open_browser(await with_scopes(ada, ("llm_skill:write",)))
    for place in (
        "labels",
        "labels/production",
        "move?label=production&version=2",
        "manage",
        "archive",
        "revert?version=1",
    ):
        page = (await reader.get(f"skills/pdf-forms/{place}")).text
        assert 'method="post" action="/console/projects' not in page, place
    for path in ("move", "labels/production", "manage", "archive", "revert"):
        assert (await reader.post(f"skills/pdf-forms/{path}")).status_code == 403
    for path in ("archive/skills", "policies"):
        assert (await reader.post(path)).status_code == 403
    assert (await reader.get("policies")).status_code == 403
    assert (await reader.get("archive/prompts")).status_code == 403
    page = await refused(writer, "skills/pdf-forms/move", 403, label="production", version=2, how="move")
    assert "llm_skill:promote" in page
    made = await sent(writer, "skills/pdf-forms/move", label="production", version=2, how="request")
    place = f"promotions/{re.findall(r'promotions/([0-9a-f-]{36})', made)[0]}"
    assert (await reader.post(place, {"do": "approve"})).status_code == 403
    assert (await refused(writer, "skills/pdf-forms/archive", 403, do="archive")).count("protected") >= 1
    # A key of another kind sees none of it.
    prompts = await open_browser(await with_scopes(ada, ("llm_prompt:read",)))
    assert "None waits." in await prompts.page("promotions")
    assert (await prompts.get(place)).status_code == 404
    assert 'class="count"' not in await prompts.page("prompts")
    other = await open_browser(await another(ada, ALL))
    assert (await other.get("/console/projects/999999999/promotions")).status_code == 404


async def test_an_archive_says_what_ends_and_comes_back_by_the_list(ada: Space, browser: Browser) -> None:
    await ada.set_label("production", 1)
    await ada.at("POST", "llm_skills/shares/", json={"label": f"team {TURNED}"})
    page = await browser.page("skills/pdf-forms/archive")
    assert "Its label ends with it" in page
    assert "production 1" in page
    assert "1 share will not serve it any more" in page
    page = await sent(browser, "skills/pdf-forms/archive", do="archive")
    assert "The skill &#39;pdf-forms&#39; is archived." in page
    assert "Ada" in page
    assert "is archived, since" in await browser.page("skills/pdf-forms")
    id = re.search(r'name="id" value="([0-9a-f-]{36})"', page)
    assert id is not None

    await ada.create("pdf-forms")
    assert "Another skill has the name." in await browser.page("archive/skills")
    page = await refused(browser, "archive/skills", 400, name="pdf-forms", id=id[1])
    assert "already exists" in page
    await ada.at("POST", "llm_skills/name/pdf-forms/rename", json={"new_name": "other"})
    page = await sent(browser, "archive/skills", name="pdf-forms", id=id[1])
    assert "Restored" in page
    assert (await ada.show())["version"] == 3
    assert "Nothing is archived." in await browser.page("archive/skills")


async def test_a_revert_shows_what_changes_and_is_refused_when_others_were_first(
    ada: Space, browser: Browser
) -> None:
    assert "Revert to version 1" in await browser.page("skills/pdf-forms", version=1)
    assert "Revert to it" in await browser.page("skills/pdf-forms/timeline")
    assert "Revert to version 2" in await browser.page("skills/pdf-forms/compare")
    page = await browser.page("skills/pdf-forms/revert", version=1)
    assert "<ins>one</ins>" in page
    assert "Publish version 4" in page
    await ada.publish("pdf-forms", 3, body="Fill it in four goes.\n")
    page = await refused(browser, "skills/pdf-forms/revert", 409, version=1, base_version=3)
    assert "the latest is 4" in page
    assert "Publish version 5" in page
    page = await sent(browser, "skills/pdf-forms/revert", version=1, base_version=4)
    assert "Version 5 has what version 1 had." in page
    assert (await ada.show())["body"] == "Fill it in one go.\n"
    assert (await browser.get("skills/pdf-forms/revert")).status_code == 400
    assert (await browser.get("skills/pdf-forms/revert", params={"version": 99})).status_code == 404


async def test_owners_tags_and_the_name_are_set_from_the_page(ada: Space, browser: Browser) -> None:
    grace = await another(ada, name="Grace")
    await another(ada, name=SCRIPT)
    page = await browser.page("skills/pdf-forms/manage")
    assert "&lt;script&gt;" in page
    page = await sent(
        browser,
        "skills/pdf-forms/manage",
        do="marks",
        owner=[str(ada.user.uuid), str(grace.user.uuid)],
        tags=f" Docs, support,, {SCRIPT}",
    )
    assert "Owners and tags are set." in page
    shown = await ada.show()
    assert {owner["first_name"] for owner in shown["owners"]} == {"Ada", "Grace"}
    assert shown["tags"] == sorted(["docs", "support", SCRIPT])
    assert "no tags → " in await browser.page("skills/pdf-forms/timeline")
    head = await ada.head()
    await sent(
        browser,
        "skills/pdf-forms/manage",
        do="marks",
        owner=[str(grace.user.uuid), str(ada.user.uuid)],
        tags=f"docs,support,{SCRIPT}",
    )
    assert await ada.head() == head
    page = await refused(browser, "skills/pdf-forms/manage", 400, do="marks", owner="nobody", tags="kept")
    assert 'value="kept"' in page

    page = await sent(browser, "skills/pdf-forms/manage", do="rename", new_name="forms")
    assert "It is named &#39;forms&#39; now" in page
    assert (await browser.get("skills/pdf-forms/labels")).headers["location"].endswith("/skills/forms/labels")
    await ada.create("taken")
    assert "already exists" in await refused(
        browser, "skills/forms/manage", 400, do="rename", new_name="taken"
    )


async def test_marks_of_prompts_lead_to_what_they_refer_to_and_back(ada: Space, browser: Browser) -> None:
    await prompt(ada, "tone", "Be kind.")
    await ada.at("PUT", "llm_prompts/name/tone/labels/production", json={"version": 1})
    mark, fixed = "@@@prompt:name=tone|label=production@@@", "@@@prompt:name=tone|version=1@@@"
    await prompt(ada, "agent", f"# Do\n\n{mark} and `{fixed}`, but not [{fixed}](https://example.com/{mark})")
    page = await browser.page("prompts/agent")
    base = f"/console/projects/{ada.id}/prompts/tone"
    assert f'<a class="reference" href="{base}?label=production">{mark}</a>' in page
    assert f'<code><a class="reference" href="{base}?version=1">{fixed}</a></code>' in page
    assert page.count('class="reference"') == 2
    assert "Refers to" in page
    page = await browser.page("prompts/tone")
    assert "Referred to by" in page
    assert "prompts/agent?version=1" in page
    assert "Prompts that refer to this label change with it" in await browser.page(
        "prompts/tone/move", label="production"
    )
    assert "Prompts refer to it, so archiving will be refused" in await browser.page("prompts/tone/archive")
    assert "is referenced by agent" in await refused(browser, "prompts/tone/archive", 409, do="archive")
    assert "is referenced by agent" in await refused(
        browser, "prompts/tone/labels/production", 409, do="remove"
    )


@pytest.mark.parametrize("place", ["promotions", "promotions?status=all", "policies", "prompts/none/labels"])
async def test_an_empty_project_and_the_past_have_these_pages(
    new_space: NewSpace, open_browser: OpenBrowser, place: str
) -> None:
    browser = await open_browser(await new_space(scopes=ALL))
    for end in ("", "as_of=2020-01-01T00:00:00Z"):
        answer = await browser.get(f"{place}{'&' if '?' in place else '?'}{end}")
        assert answer.status_code == (404 if "none" in place else 200), answer.text
        check_page(answer)


async def test_a_version_is_yanked_with_a_reason_and_taken_back(ada: Space, browser: Browser) -> None:
    await ada.set_label("production", 3)
    page = await browser.page("skills/pdf-forms/yank", version=3)
    assert "A label that points to it" in page
    await refused(browser, "skills/pdf-forms/yank", 400, version=3, do="yank", reason=" ")
    page = await refused(browser, "skills/pdf-forms/yank", 400, version=3, do="yank", reason="x" * 401)
    assert "x" * 401 in page
    page = await sent(
        browser, "skills/pdf-forms/yank", version=3, do="yank", reason=f"Loses {SCRIPT} {TURNED}"
    )
    assert "This version should not be used any more, says" in page
    assert "Loses &lt;script&gt;" in page
    assert (await ada.show())["version"] == 2
    assert "Publish version 4" in await browser.page("skills/pdf-forms/revert", version=1)
    assert "production" in await browser.page("skills/pdf-forms/labels")
    assert "Take the yank of version 3 back?" in await browser.page("skills/pdf-forms/yank", version=3)
    assert "version 3: <bdi>Loses" in await browser.page("skills/pdf-forms/timeline")
    page = await sent(browser, "skills/pdf-forms/yank", version=3, do="unyank")
    assert "is one like any other again" in page
    assert (await ada.show())["version"] == 3
    for wrong in ({}, {"version": "0"}, {"version": "x"}):
        assert (await browser.post("skills/pdf-forms/yank", {"do": "yank", **wrong})).status_code == 400
    assert (await browser.get("skills/pdf-forms/yank", params={"version": 9})).status_code == 404


@pytest.mark.parametrize(
    "place",
    [
        *("move?label=production", "manage?x=1", "archive?x=1", "revert?version=1", "yank?version=1"),
        *("edit?x=1", "edit/preview?x=1", "owners?x=1", "usage?x=1"),
    ],
)
async def test_what_changes_something_leads_from_the_past_to_the_present(
    ada: Space, browser: Browser, place: str
) -> None:
    page = await browser.page(f"skills/pdf-forms/{place}&as_of=2999-01-01T00:00:00Z")
    assert "Of now alone" in page
    assert 'method="post" action="/console/projects' not in page
    address = browser.address(f"skills/pdf-forms/{place}")
    assert page.count(f'href="{address}"') == 1
    assert "Of now alone" not in (await browser.get(address)).text


@pytest.mark.parametrize("past", ["as_of=2999-01-01T00:00:00Z", "as_of=2020-01-01", "position=0"])
async def test_a_form_is_refused_in_the_past(ada: Space, browser: Browser, past: str) -> None:
    for path, form in (
        ("skills/pdf-forms/manage", {"do": "rename", "new_name": "other"}),
        ("skills/pdf-forms/archive", {}),
        ("skills/pdf-forms/edit", {"do": "keep", "text": "x"}),
        ("skills/pdf-forms/move", {"label": "production", "version": 1, "how": "move"}),
        ("archive/skills", {"name": "pdf-forms"}),
        ("policies", {"do": "set", "label": "production", "protected": "yes"}),
        ("keys/new", {"label": "a", "scopes": "event:read"}),
    ):
        page = await refused(browser, f"{path}?{past}", 400, **form)
        assert "What changes something is of the present" in page
    assert (await ada.show())["labels"] == []


async def test_whom_a_move_or_an_archive_reaches_stands_before_it(ada: Space, browser: Browser) -> None:
    await ada.set_label("production", 1)
    assert (await ada.show(label="production"))["version"] == 1
    page = await browser.page("skills/pdf-forms/move", label="production", version=3)
    assert "of them got version 1 last" in page
    assert "Who reads it" in await browser.page("skills/pdf-forms/archive")
