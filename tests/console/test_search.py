"""Search in all texts, with the places where it was found."""

from tests.api.test_search import searching
from tests.console.conftest import OpenBrowser
from tests.support.browsing import Browser, check_page
from tests.support.space import NewSpace, Space, file

__all__ = ["searching"]


async def test_hits_lead_to_where_they_are(searching: None, owner: Space, browser: Browser) -> None:
    await owner.create(
        "browser-tests",
        description="Run tests in <b>Chromium</b>.",
        body="# Start\n\nIn a container:\n\n    chromium --no-sandbox <script>alert(1)</script>\n",
        files=[file("scripts/run.sh", "#!/bin/sh\nexec chromium --no-sandbox\n")],
    )
    made = await owner.at(
        "POST", "llm_prompts/", json={"name": "launch", "prompt": "Say --no-sandbox.\u202e"}
    )
    assert made.status_code == 201
    page = await browser.page("search", q="--no-sandbox", after=await owner.head())
    here = f"/console/projects/{owner.id}"
    for text in (
        f'href="{here}/skills/browser-tests"',
        f'href="{here}/prompts/launch"',
        f'href="{here}/skills/browser-tests/files/scripts/run.sh#L2"',
        f'href="{here}/skills/browser-tests?view=source#L5"',
        "&lt;script&gt;",
        "U+202E",
    ):
        assert text in page, text
    assert "launch" not in (await browser.page("search", q="--no-sandbox", kind="skill")).split("<main")[1]
    marked = await browser.page("search", q="CONTAINER")
    assert "a <mark>container</mark>" in marked
    assert "Nothing has that" in await browser.page("search", q="zebra")
    assert "Nothing has that" not in await browser.page("search")


async def test_all_versions_are_sought(searching: None, owner: Space, browser: Browser) -> None:
    await owner.create("a", body="an old zebra")
    await owner.publish("a", 1, body="a new horse")
    after = await owner.head()
    assert "Nothing has that" in await browser.page("search", q="zebra", after=after)
    page = await browser.page("search", q="zebra", ever="true")
    assert "version=1" in page


async def test_pages_and_refusals(
    searching: None, owner: Space, browser: Browser, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    for number in range(22):
        await owner.create(f"horse-{number}", body="a horse")
    first = await browser.page("search", q="horse", after=await owner.head())
    assert first.count('class="name"') == 20
    more = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert (await browser.page(more)).count('class="name"') == 2
    for wrong in (
        {"q": "a" * 301},
        {"q": "a", "kind": "x"},
        {"q": "a", "cursor": "x"},
        {"q": "a", "ever": "1"},
    ):
        answer = await browser.get("search", params=wrong)
        assert answer.status_code == 400, wrong
        check_page(answer)
    reader = await open_browser(await new_space(scopes=("event:read",)))
    assert (await reader.get("search?q=a")).status_code == 403
    assert "/search" not in await reader.page("audit")
