"""The page of a name that nothing has any more: what it was, who archived it, and the way back."""

import re

from tests.console.conftest import OpenBrowser
from tests.support.browsing import Browser, check_page
from tests.support.governing import with_scopes
from tests.support.space import Space, file

HOSTILE = "<script>alert('own')</script>"


async def archived(owner: Space, name: str = "pdf-forms") -> None:
    """A skill of two versions with a label, that is archived."""
    await owner.create(name, body="# One\n", files=[file("a/b.txt", "inside\n")])
    await owner.publish(name, 1, body=f"# Two\n\n{HOSTILE} [a file](a/b.txt)\n")
    await owner.set_label("production", 1, name)
    await owner.post(f"name/{name}/archive")


async def test_the_page_of_an_archived_name_says_so_and_restores_it(owner: Space, browser: Browser) -> None:
    await archived(owner)
    page = await browser.page("skills/pdf-forms")
    for said in ("is archived, since", "by <span", "Ada", "Its last version 2", "Two</h1>", "Restore"):
        assert said in page, said
    assert HOSTILE not in page
    # What it had is there as of just before: its files, its other versions.
    then = await owner.head() - 1
    place = f"/console/projects/{owner.id}/skills/pdf-forms"
    assert page.count(f'href="{place}/files/a/b.txt?position={then}"') == 2
    assert "inside" in (await browser.get(f"{place}/files/a/b.txt?position={then}")).text
    assert f'href="{place}?position={then}"' in page
    assert "One</h1>" in await browser.page("skills/pdf-forms", version=1)
    assert "One</h1>" in await browser.page("skills/pdf-forms", label="production")
    assert "<table>" in await browser.page("skills/pdf-forms", view="source")
    for wrong in ("version=9", "label=none"):
        answer = await browser.get(f"skills/pdf-forms?{wrong}")
        assert answer.status_code == 404
        check_page(answer)
    # Pages below lead to it.
    for below in ("labels", "edit", "manage", "files/a/b.txt"):
        answer = await browser.get(f"skills/pdf-forms/{below}")
        assert answer.status_code == 404
        assert f'href="{place}"' in answer.text, below
    assert f'href="{place}"' in await browser.page("archive/skills")

    form = dict(re.findall(r'name="(name|id)" value="([^"]*)"', page))
    answer = await browser.post("archive/skills", form)
    assert answer.headers["location"] == place
    assert "Restored" in await browser.page("skills/pdf-forms")
    assert (await owner.show())["version"] == 2
    assert (await browser.get("skills/never")).status_code == 404


async def test_an_archived_name_offers_what_the_key_may(owner: Space, open_browser: OpenBrowser) -> None:
    await archived(owner)
    reader = await open_browser(await with_scopes(owner, ("llm_skill:read",)))
    page = await reader.page("skills/pdf-forms")
    assert '<button class="primary">Restore' not in page
    assert "llm_skill:write" in page
    assert "Two</h1>" in page
    other = await open_browser(await with_scopes(owner, ("llm_prompt:read",)))
    assert (await other.get("skills/pdf-forms")).status_code == 403


async def test_an_earlier_name_leads_to_what_is_archived(owner: Space, browser: Browser) -> None:
    await owner.create("old", body="# Old\n")
    await owner.ok(200, await owner.post("name/old/rename", {"new_name": "later"}))
    named = await owner.head()
    await owner.post("name/later/archive")
    answer = await browser.get("skills/old?view=source")
    assert answer.headers["location"] == f"/console/projects/{owner.id}/skills/later?view=source"
    assert "is archived, since" in await browser.page("skills/later")
    # Before, the name led on; and later, when another one has the name of its end, nothing leads there.
    assert (await browser.get(f"skills/old?position={named}")).status_code == 303
    await owner.create("later", body="# Another\n")
    page = await browser.page("skills/old")
    assert "It was named <strong>later</strong> at its end" in page
    assert "Old</h1>" in page
    assert "Restore" not in page
    assert "Another</h1>" in await browser.page("skills/later")


async def test_the_past_of_an_archived_name(owner: Space, browser: Browser) -> None:
    await archived(owner)
    gone = await owner.head()
    await owner.ok(200, await owner.post("name/pdf-forms/restore", {}))
    back = await owner.head()
    page = await browser.page("skills/pdf-forms", position=gone)
    assert "was in the archive then" in page
    assert "Restore" not in page
    assert "Back to now" in page
    assert "archived</span>" not in await browser.page("skills/pdf-forms", position=back)
    assert "archived</span>" not in await browser.page("skills/pdf-forms", position=gone - 1)


async def test_an_archived_prompt_has_the_same_page(owner: Space, browser: Browser) -> None:
    await owner.at("POST", "llm_prompts/", json={"name": "Tone", "prompt": "# Be kind\n"})
    await owner.at("POST", "llm_prompts/name/Tone/archive")
    page = await browser.page("prompts/Tone")
    assert "This prompt is archived" in page
    assert "Be kind</h1>" in page
    assert "Restore" in page
