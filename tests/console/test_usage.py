"""Usage on pages: the chart with its table, who reads which version, and who sees that."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest_asyncio

from console.page import environment
from console.usage import BlastRadius
from projections.read.usage import LastRead
from store.tables import identity, usage
from store.tables.usage import Count
from tests.console.conftest import OpenBrowser
from tests.support.browsing import Browser
from tests.support.forms import follow, send
from tests.support.space import NewSpace, Space, skill

SCOPES = ("llm_skill:write", "usage:read")


@pytest_asyncio.fixture(loop_scope="session")
async def reader(new_space: NewSpace) -> Space:
    """A project with a skill of six versions; its key sees usage."""
    space = await new_space(scopes=SCOPES)
    await space.ok(201, await space.at("POST", "llm_skills/", json=skill()))
    for base in range(1, 6):
        change = {"base_version": base, "license": f"Terms {base}"}
        await space.ok(200, await space.at("PATCH", "llm_skills/name/pdf-forms", json=change))
    return space


async def read(space: Space, reads: dict[tuple[int, int], int], key: UUID, *, is_share: bool = False) -> None:
    """Counts of a reader: by days ago and version."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ids = {
        version: UUID(str(row[0]))
        for version in {version for _, version in reads}
        for row in await (
            await space.conn.execute(
                "SELECT versions.id FROM versions JOIN artifacts USING (stream_id) WHERE project_id = %s AND number = %s",
                (space.id, version),
            )
        ).fetchall()
    }
    counts = [
        Count(ids[version], hour, "api", key, is_share, number, 0, hour, hour)
        for (days, version), number in reads.items()
        for hour in [(at - timedelta(days=days)).timestamp()]
    ]
    await usage.add(space.conn, uuid4(), 1, counts)


async def key_of(space: Space, label: str) -> UUID:
    made, _ = await identity.create_key(
        space.conn, email=space.user.email, scopes=["llm_skill:read"], project_ids=[space.id], label=label
    )
    return made.id


async def test_the_chart_shows_days_and_versions_and_stands_on_a_table(
    reader: Space, open_browser: OpenBrowser
) -> None:
    browser = await open_browser(reader)
    page = await browser.page("skills/pdf-forms")
    assert "Not read in the last 30 days." in page
    assert "<svg" not in page
    counts = {(0, 6): 8, (0, 5): 2, (3, 5): 4, (10, 4): 3, (20, 3): 2, (29, 1): 1, (29, 2): 1, (45, 1): 900}
    await read(reader, counts, await key_of(reader, "bot"))
    page = await browser.page("skills/pdf-forms")
    assert "21 reads in 30 days" in page
    # Four versions are told apart, the newest first.
    swatches = re.findall(r"</svg> ((?:version \d+|others))</span>", page)
    assert swatches == ["version 6", "version 5", "version 4", "version 3", "others"]
    assert len(re.findall(r'<rect class="series-\d" x=', page)) == 6
    assert re.search(r'role="img" aria-labelledby="usage-title"', page)
    assert "at most 10 a day" in page
    today = datetime.now(UTC).date()
    assert re.search(rf'<th scope="row">{today}</th><td class="num">8</td><td class="num">2</td>', page)
    assert f'<th scope="row">{today - timedelta(days=29)}</th>' in page
    # No instant of the past has counts.
    assert "reads in 30 days" not in await browser.page("skills/pdf-forms", as_of="2999-01-01T00:00:00Z")


async def test_who_reads_which_version_is_named_the_furthest_behind_first(
    reader: Space, open_browser: OpenBrowser
) -> None:
    await read(reader, {(20, 1): 5, (2, 6): 1}, await key_of(reader, "up <b>to</b> date"))
    await read(reader, {(1, 6): 1, (0, 2): 7}, await key_of(reader, "went back"))
    await read(reader, {(5, 4): 3}, usage.NOBODY)
    gone = await key_of(reader, "revoked")
    await read(reader, {(0, 1): 3}, gone)
    await identity.revoke_key(reader.conn, gone)
    share = await reader.ok(201, await reader.at("POST", "llm_skills/shares", json={"label": "team"}))
    await read(reader, {(4, 6): 2}, UUID(share["id"]), is_share=True)
    page = await (await open_browser(reader)).page("skills/pdf-forms/usage")
    assert "4 readers have asked for it." in page
    assert "<strong>2</strong> of them read a version before the latest, 6." in page
    radius = page[page.index('aria-label="Who reads it"') :]
    places = [
        radius.index(words)
        for words in ("went back", "public, without a key", "up &lt;b&gt;to&lt;/b&gt; date")
    ]
    assert places == sorted(places)
    assert "share <bdi>team</bdi>" in radius
    assert "revoked" not in radius
    assert radius.count('<span class="tag warn">old</span>') == 2
    assert "By version" in page
    assert "By door" in page


async def test_usage_needs_its_scope_and_shows_where_it_is_allowed(
    new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    space = await new_space(scopes=("llm_skill:write",))
    await space.ok(201, await space.at("POST", "llm_skills/", json=skill()))
    browser = await open_browser(space)
    assert "Usage" not in await browser.page("skills/pdf-forms")
    refused = await browser.get("skills/pdf-forms/usage")
    assert refused.status_code == 403
    assert "usage:read" in refused.text
    alone: Browser = await open_browser(await new_space(scopes=("usage:read",)))
    assert (await alone.get("skills/pdf-forms/usage")).status_code == 403


async def test_own_reads_show_at_once(reader: Space, open_browser: OpenBrowser) -> None:
    await reader.ok(200, await reader.at("GET", "llm_skills/name/pdf-forms"))
    page = await (await open_browser(reader)).page("skills/pdf-forms/usage")
    assert "1 read in 30 days" in page
    assert "All of them read the latest, 6." in page


def radius_of(*versions: int, leaving: int | None = None) -> str:
    """The part of a page for readers of these versions."""
    now = datetime.now(UTC)
    readers = [LastRead("key", f"reads {version}", "sk_abcd", "", version, 1, now) for version in versions]
    radius = BlastRadius(30, 5, len(readers), readers)
    macros = environment().get_template("usage/blast_radius.html").module
    text: str = macros.blast_radius(radius, leaving)  # type: ignore[attr-defined]
    return " ".join(text.split())


def test_a_change_says_whom_it_reaches() -> None:
    text = radius_of(5, 3, 3, 4, leaving=3)
    assert (
        "<strong>2</strong> of them got version 3 last, and get another one with this, unless by number."
        in text
    )
    assert "<strong>3</strong> of them read a version before the latest, 5." in text
    assert text.count("changes</span>") == 2
    assert text.index("reads 3") < text.index("reads 4") < text.index("reads 5")
    assert "<strong>0</strong> of them got version 1 last" in radius_of(5, leaving=1)
    assert "read by no key and no share" in radius_of(leaving=5)
    macros = environment().get_template("usage/blast_radius.html").module
    assert str(macros.blast_radius(None)).strip() == ""  # type: ignore[attr-defined]


async def test_lists_show_what_is_unused_and_what_has_problems(
    reader: Space, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    # Its text would hide the fault of its package if that was looked for in all of it.
    hidden = 'Says "spec_problems":[] of itself.\n"spec_problems":[]'
    await reader.create("left-alone", description=hidden)
    await reader.create(
        "with-a-fault", description=hidden, allowed_tools=["Bash(a b)"], metadata={"a": {"b": 1}}
    )
    await read(reader, {(40, 6): 1}, await key_of(reader, "slow"))
    browser = await open_browser(reader)

    async def names(**query: str) -> list[str]:
        return re.findall(r'class="name" href="[^"]*">([^<]+)<', await browser.page("skills", **query))

    assert await names(unused="30", order_by="name") == ["left-alone", "pdf-forms", "with-a-fault"]
    assert await names(unused="90", order_by="name") == ["left-alone", "with-a-fault"]
    assert await names(unused="90", search="fault") == ["with-a-fault"]
    assert await names(problems="true") == ["with-a-fault"]
    assert await names(problems="true", unused="30", search="left") == []
    page = await browser.page("skills", unused="45")
    assert '<option value="45" selected>not for 45 days</option>' in page
    refused = await browser.get("skills?unused=30&as_of=2999-01-01T00:00:00Z")
    assert refused.status_code == 400
    assert "known of the present alone" in refused.text
    assert (await browser.get("skills?unused=0")).status_code == 400
    blind = await open_browser(await new_space())
    assert (await blind.get("skills?unused=30")).status_code == 403
    assert 'name="unused"' not in await blind.page("skills")


async def test_before_a_publish_stands_whom_it_reaches(reader: Space, open_browser: OpenBrowser) -> None:
    await read(reader, {(1, 6): 2}, await key_of(reader, "the newest"))
    await read(reader, {(1, 2): 2}, await key_of(reader, "an old one"))
    browser = await open_browser(reader)
    form = await browser.page("skills/pdf-forms/edit")
    preview = await follow(browser, await send(browser, form, "preview", text="# Another\n"))
    assert "Publish version 7" in preview
    assert "<strong>1</strong> of them got version 6 last, and gets another one with this" in preview
    assert preview.index("the newest") < preview.index("an old one")
