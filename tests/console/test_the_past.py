"""Timeline, comparisons, blame, and the whole console as of an instant."""

import re

from tests.support.browsing import Browser, check_page
from tests.support.space import Space, file


async def history(owner: Space) -> list[int]:
    """A skill with three versions and an archived one; the positions of the log after each event."""
    positions = []
    await owner.create(
        "pdf-forms",
        body="# Forms\n\nRead the form.\nFill it in.\n",
        files=[file("scripts/fill.py", "def fill():\n    return 1\n"), file("old.txt", "old\n")],
    )
    positions.append(await owner.head())
    await owner.publish("pdf-forms", 1, edits=[{"old": "Read the form.", "new": "Read the whole form."}])
    positions.append(await owner.head())
    await owner.ok(
        200,
        await owner.post(
            "name/pdf-forms/files-rename", {"old_path": "old.txt", "new_path": "new.txt", "base_version": 2}
        ),
    )
    positions.append(await owner.head())
    await owner.create("other")
    positions.append(await owner.head())
    await owner.post("name/other/archive")
    return positions


async def test_the_timeline_has_every_event(owner: Space, browser: Browser) -> None:
    first, second, third, _ = await history(owner)
    page = await browser.page("skills/pdf-forms/timeline")
    for text in (
        "Created",
        "Published",
        "File renamed",
        "3 events",
        "Ada",
        f'id="p{second}"',
        "old.txt",
        "new.txt",
    ):
        assert text in page, text
    assert page.index(f'id="p{third}"') < page.index(f'id="p{first}"')
    assert f"/skills/pdf-forms?position={second}" in page
    then = await browser.page("skills/pdf-forms/timeline", position=second)
    assert "2 events" in then
    assert f'id="p{third}"' not in then
    archived = await browser.page("skills/other/timeline")
    assert "Archived" in archived
    assert (await browser.get("skills/never/timeline")).status_code == 404


async def test_the_whole_console_shows_the_past_and_a_way_back(owner: Space, browser: Browser) -> None:
    first, second, _, fourth = await history(owner)
    page = await browser.page("skills/pdf-forms", position=first)
    assert "The past" in page
    assert "Read the form." in page
    assert "Back to now" in page
    assert f'href="/console/projects/{owner.id}/skills/pdf-forms"' in page
    # Every other link within the project stays in that past.
    links = re.findall(rf'href="(/console/projects/{owner.id}/[^"]*)"', page)
    assert len(links) > 10
    assert [link for link in links if "position=" not in link] == [
        f"/console/projects/{owner.id}/skills/pdf-forms"
    ]
    for link in links:
        if not link.split("?")[0].endswith(("/audit", "/live")):
            assert (await browser.get(link.replace("&amp;", "&"))).status_code == 200, link
    assert "/skills/other" not in await browser.page("skills", position=second)
    assert "/skills/other" in await browser.page("skills", position=fourth)
    assert "/skills/other" not in await browser.page("skills")
    assert "There were no skills then" in await browser.page("skills", position=first - 1)
    assert (await browser.get(f"skills/pdf-forms?position={first - 1}")).status_code == 404
    for wrong in ("position=x", "position=99999999999", "as_of=yesterday", "position=1&as_of=2026-01-01"):
        answer = await browser.get(f"skills?{wrong}")
        assert answer.status_code == 400
        check_page(answer)
    assert "The past" in await browser.page("skills", as_of="2020-01-01T00:00:00Z")


async def test_a_form_leads_to_an_instant(owner: Space, browser: Browser) -> None:
    here = f"/console/projects/{owner.id}/skills?search=a&position=3&offset=50"
    answer = await browser.get("then", params={"at": "2026-03-03T09:30", "back": here})
    assert answer.headers["location"] == (
        f"/console/projects/{owner.id}/skills?search=a&as_of=2026-03-03T09%3A30%3A00.000000Z"
    )
    elsewhere = await browser.get(
        "then", params={"at": "2026-03-03T09:30:01", "back": "https://evil.example"}
    )
    assert elsewhere.headers["location"] == f"/console/projects/{owner.id}"
    assert (await browser.get("then", params={"at": "soon", "back": here})).status_code == 400


async def test_the_past_says_what_was_asked_for_and_has_no_forms(owner: Space, browser: Browser) -> None:
    first, _, third, _ = await history(owner)
    page = await browser.page("skills/pdf-forms", as_of="2999-03-03T09:30:00+02:00")
    assert "as of 2999-03-03 07:30:00 UTC" in page
    assert 'value="2999-03-03T07:30:00"' in page
    assert "as of 2020-01-01 00:00:00 UTC" in await browser.page("skills", as_of="2020-01-01")
    assert f", position {first}" in await browser.page("skills", position=first)
    for place in ("", "/timeline", "/compare", "/blame", "/labels", "/files/scripts/fill.py"):
        page = await browser.page(f"skills/pdf-forms{place}", position=third)
        assert re.findall(r'<form[^>]* method="post"[^>]* action="([^"]*)"', page) == ["/console/sign-out"]
        assert ">Manage</a>" not in page
        assert ">Manage</a>" in await browser.page(f"skills/pdf-forms{place}")
    # An old version can be gone back to from there, on a page of now.
    old = await browser.page("skills/pdf-forms", position=third, version=1)
    assert f'href="/console/projects/{owner.id}/skills/pdf-forms/revert?version=1"' in old


async def test_what_was_archived_is_listed_as_of_an_instant(owner: Space, browser: Browser) -> None:
    first, _, _, fourth = await history(owner)
    assert "Nothing was archived then." in await browser.page("archive/skills", position=fourth)
    archived = fourth + 1
    await owner.ok(200, await owner.post("name/pdf-forms/rename", {"new_name": "forms"}))
    # Given up for another name is not archived.
    assert "/skills/pdf-forms" not in await browser.page("archive/skills", position=await owner.head())
    await owner.ok(200, await owner.post("name/other/restore", {}))
    await owner.post("name/forms/archive")
    end = await owner.head()
    for position, names in ((archived, ["other"]), (end - 2, ["other"]), (end - 1, []), (end, ["forms"])):
        page = await browser.page("archive/skills", position=position)
        found = re.findall(rf'class="name" href="/console/projects/{owner.id}/skills/([^?]*)\?', page)
        assert found == names, position
        assert "Restore" not in page
    assert "Fill in PDF forms." in page
    assert "Ada" in page
    assert "Restore" in await browser.page("archive/skills")
    # Pages of the list, as of then.
    assert "1–1 of 1" in page
    assert (await browser.get(f"archive/skills?position={end}&offset=1")).status_code == 200
    assert (await browser.get(f"archive/prompts?position={first}")).status_code == 200


async def test_versions_are_compared_with_their_words_marked(owner: Space, browser: Browser) -> None:
    first, _, _, _ = await history(owner)
    page = await browser.page("skills/pdf-forms/compare", **{"from": 1, "to": 3})
    assert "Read the <ins>whole </ins>form." in page
    assert '<tr class="removed">' in page
    assert "old.txt" in page
    assert "renamed" in page
    beside = await browser.page("skills/pdf-forms/compare", **{"from": 1, "to": "latest", "view": "beside"})
    assert "Read the <ins>whole </ins>form." in beside
    assert 'class="half removed"' in beside
    # What a version has changed, without a choice; and nothing before the first.
    assert "renamed" in await browser.page("skills/pdf-forms/compare")
    created = await browser.page("skills/pdf-forms/compare", version=1)
    assert "Nothing" in created
    assert "scripts/fill.py" in created
    assert "There is no difference" in await browser.page("skills/pdf-forms/compare", **{"from": 2, "to": 2})
    now = "2999-01-01T00:00:00Z"
    assert "renamed" in await browser.page("skills/pdf-forms/compare", **{"from": 1, "to": now})
    # As of an instant, later versions are not there.
    assert (await browser.get(f"skills/pdf-forms/compare?from=1&to=3&position={first}")).status_code == 404
    for wrong, status in (("from=9", 404), ("from=none", 404), ("view=x", 400), ("from=2026-99-99", 400)):
        assert (await browser.get(f"skills/pdf-forms/compare?{wrong}")).status_code == status, wrong


async def test_fields_and_metadata_are_compared(owner: Space, browser: Browser) -> None:
    await owner.create("a", description="One <b>.", metadata={"team": "docs", "gone": 1})
    await owner.publish("a", 1, description="Two.", metadata={"team": "ops", "come": [1]}, license="MIT")
    page = await browser.page("skills/a/compare")
    for text in (
        "<del>One &lt;b&gt;.</del>",
        "<ins>Two.</ins>",
        "metadata · team",
        "<del>1</del>",
        "<ins>[1]</ins>",
    ):
        assert text in page, text


async def test_blame_names_the_version_of_each_line(owner: Space, browser: Browser) -> None:
    await history(owner)
    page = await browser.page("skills/pdf-forms/blame")
    lines = re.findall(r'<tr id="L\d+".*?</tr>', page, re.DOTALL)
    assert len(lines) == 4
    assert "version=2" in lines[2]
    assert "version=1" in lines[0]
    script = await browser.page("skills/pdf-forms/blame", path="scripts/fill.py")
    assert "def fill():" in script
    assert "Read the form." in await browser.page("skills/pdf-forms/blame", version=1)
    assert (await browser.get("skills/pdf-forms/blame?path=none")).status_code == 404


async def test_hostile_texts_are_compared_as_texts(owner: Space, browser: Browser) -> None:
    await owner.create("a", body="<script>alert(1)</script> \u202e one\n" + "x" * 150_000)
    await owner.publish("a", 1, body="<script>alert(2)</script> \u202e two\n" + "x" * 150_001)
    await owner.publish("a", 2, body="y" * 900_000)
    for query in ("from=1&to=2", "from=1&to=2&view=beside", "from=2&to=3"):
        page = await browser.get(f"skills/a/compare?{query}")
        check_page(page)
        assert "<script>alert" not in page.text
        assert "\u202e" not in page.text
    assert "too large" in page.text
    assert "<script>alert" not in await browser.page("skills/a/blame", version=2)
    assert "too large" in await browser.page("skills/a/blame")


async def test_prompts_have_the_same_views(owner: Space, browser: Browser) -> None:
    await owner.at("POST", "llm_prompts/", json={"name": "tone", "prompt": "Be kind.\nBe brief.\n"})
    await owner.at(
        "PATCH", "llm_prompts/name/tone", json={"base_version": 1, "prompt": "Be kind.\nBe clear.\n"}
    )
    await owner.at("PUT", "llm_prompts/name/tone/labels/production", json={"version": 1})
    assert "Be <ins>clear</ins>." in await browser.page("prompts/tone/compare")
    labeled = await browser.page("prompts/tone/compare", **{"from": "production", "to": "latest"})
    assert "Be <del>brief</del>." in labeled
    assert "production" in await browser.page("prompts/tone/timeline")
    assert "Be clear." in await browser.page("prompts/tone/blame")


async def test_an_earlier_name_leads_to_the_name_now(owner: Space, browser: Browser) -> None:
    await owner.create("pdf-forms", files=[file("a.txt")])
    before = await owner.head()
    await owner.ok(200, await owner.post("name/pdf-forms/rename", {"new_name": "forms"}))
    for path in ("", "/timeline", "/compare?from=1", "/blame", "/files/a.txt?version=1", "/raw/a.txt"):
        answer = await browser.get(f"skills/pdf-forms{path}")
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/console/projects/{owner.id}/skills/forms{path}",
        )
        assert (await browser.get(f"skills/forms{path}")).status_code == 200
    assert "Renamed" in await browser.page("skills/forms/timeline")
    assert "pdf-forms" in await browser.page("skills/pdf-forms", position=before)
