"""What others send to the console costs little, and is answered by a sentence: forms, addresses, texts with deep structure."""

import asyncio
import sys
from base64 import b64encode
from time import perf_counter
from urllib.parse import quote

import msgspec
import pytest
from markupsafe import Markup

from api.config import ApiConfig
from console import forms
from console.editing import rebasing, skills
from console.editing.drafts import Draft
from console.links import is_ours
from console.text import markdown, source
from store.postgres.connection import Connection
from store.tables import console_drafts
from tests.console.conftest import OpenBrowser
from tests.support.browsing import ORIGIN, Browser
from tests.support.forms import follow, send
from tests.support.space import Space, running, skill

NOTHING = ""
FIELDS = {field.name: field for field in skills.FIELDS}


def _rendered(text: str) -> str:
    return str(markdown.markdown(text, file=lambda path: None, image=lambda path: None))


@pytest.mark.parametrize("text", [">" * 300_000 + "a", "- " * 100_000 + "a", "1. " * 90_000 + "a"])
def test_a_text_that_is_nested_too_deep_is_shown_as_it_is_written(text: str) -> None:
    began = perf_counter()
    made = _rendered(text)
    # To clean what is nested so deep takes minutes.
    assert perf_counter() - began < 20
    assert made.startswith("<pre ")


def test_a_text_that_comes_out_too_long_is_shown_as_it_is_written() -> None:
    # Each row of a table has all of its columns.
    table = "|a" * 1000 + "|\n" + "|-" * 1000 + "|\n" + "<b\n" * 2000
    made = _rendered(table)
    assert made.startswith("<pre ")
    assert "&lt;b" in made
    assert "<b" not in made
    assert len(made) < 3 * len(table)


def test_what_is_nested_as_people_do_is_rendered() -> None:
    assert _rendered("> " * 8 + "a").count("<blockquote>") == 8
    assert "<pre" not in _rendered("".join("  " * depth + "- a\n" for depth in range(12)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", "```\n" + "\n" * 60_000 + "x"),
        # A lexer that the text names itself.
        ("a.md", "```perl\n" + "\n" * 60_000 + "\n```\n"),
        *((f"a.{kind}", "\n" * 60_000 + "x") for kind in ("py", "sh", "ts", "rb", "yaml", "html", "c")),
    ],
)
def test_no_expression_of_a_lexer_sees_a_whole_text(path: str, text: str) -> None:
    began = perf_counter()
    found = source.lines_of(text, path)
    # One that sees all of it takes half a minute, in which nothing else of the process runs.
    assert perf_counter() - began < 8
    assert len(found) == len(text.removesuffix("\n").split("\n"))


@pytest.mark.parametrize(
    ("text", "lines", "is_whole"),
    [
        ("", 0, True),
        ("a\nb", 2, True),
        ("a\n" * source.MAX_LINES, source.MAX_LINES, True),
        ("a\n" * source.MAX_LINES + "b", source.MAX_LINES, False),
        ("\n" * source.MAX_SHOWN, source.MAX_LINES, False),
        ("a" * (source.MAX_SHOWN + 1), 1, False),
    ],
)
def test_lines_that_are_not_shown_are_not_looked_at(
    text: str, lines: int, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = source.lines_of

    def counted(text: str, path: str) -> list[Markup]:
        found = whole(text, path)
        seen.append(len(found))
        return found

    monkeypatch.setattr(source, "lines_of", counted)
    found = source.part(text, "a.txt")
    assert (len(found.lines), found.is_whole, seen) == (lines, is_whole, [lines])


def test_source_has_the_colours_that_its_lexer_gives() -> None:
    [line] = source.lines_of("def f(): return 'a'  # b\n", "a.py")
    assert [f'"t-{mark}"' in line for mark in ("key", "name", "text", "note")] == [True] * 4
    assert "t-key" in source.lines_of("# A\n\nb\n", "a.md")[0]


@pytest.mark.parametrize("address", ["//[x", "http://[x/", "//\u2100/"])
def test_what_is_no_address_is_no_link_and_no_image(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[object] = []
    # An error of the code that looks at it is swallowed by the cleaner.
    monkeypatch.setattr(sys, "unraisablehook", failed.append)
    made = _rendered(f"[a]({address}) ![b]({address})")
    assert "href" not in made
    assert "src" not in made
    assert "unloaded" in made
    assert failed == []


@pytest.mark.parametrize(
    "address",
    [
        *("//[x", "https://[", "//\u2100"),
        *(
            "/console/%2e%2e/api",
            "/console/.%2E/api",
            "/console/%2e/",
            "/console/a/%2e%2e",
            "/console/%2f%2fevil",
        ),
    ],
)
async def test_no_address_leads_back_to_elsewhere(
    owner: Space, open_browser: OpenBrowser, address: str
) -> None:
    assert not is_ours(address)
    browser = await open_browser(owner, signed_in=False)
    done = await browser.post("/console/sign-in", {"key": owner.key, "next": address})
    assert (done.status_code, done.headers["location"]) == (303, "/console/")
    then = await browser.get(f"then?at=2026-01-01&back={quote(address)}")
    assert (then.status_code, then.headers["location"]) == (303, browser.address("").rstrip("/"))


def test_a_place_whose_name_begins_with_a_dot_is_one_of_the_console() -> None:
    assert is_ours("/console/projects/1/skills/a/files/.github/ci.yml?version=2")


@pytest.mark.parametrize(
    "place",
    [
        "skills?as_of=%20",
        "skills/pdf-forms?as_of=%20",
        "skills/pdf-forms/timeline?as_of=%09",
        "audit?as_of=%20",
    ],
)
async def test_an_empty_instant_is_now(owner: Space, browser: Browser, place: str) -> None:
    await owner.client.post(f"/api/projects/{owner.id}/llm_skills/", json=skill())
    assert "Back to now" not in await browser.page(browser.address(place))


async def test_what_is_no_label_and_no_person_is_said_to_be_none(owner: Space, browser: Browser) -> None:
    await owner.client.post(f"/api/projects/{owner.id}/llm_skills/", json=skill())
    answer = await browser.get("skills/pdf-forms/labels/%00")
    assert answer.status_code == 400
    assert "A name consists of" in answer.text
    await browser.post("skills/pdf-forms/owners", {"add": "a\0"})
    assert "is called" in await browser.page("skills/pdf-forms/owners")


async def test_json_with_half_a_character_is_said_to_be_wrong_and_merges(
    owner: Space, browser: Browser
) -> None:
    half = '{"a": "\\ud800"}'
    for kind, field, text in (("skills", "field.metadata", "b"), ("prompts", "field.config", "b")):
        new = await browser.page(f"{kind}/new")
        kept = await send(
            browser,
            new,
            "keep",
            name="halves",
            text=text,
            field__description="d",
            **{field: half},  # type: ignore[arg-type]
        )
        assert "Lone surrogates are not allowed" in await follow(browser, kept)
    values = ("{}", half, '{"b": 1}')
    base, mine, theirs = (Draft("n", 1, "t", {"metadata": value}) for value in values)
    merged = rebasing.rebased(base, mine, theirs, [FIELDS["metadata"]], [], {})
    assert (merged.fields["metadata"], len(merged.remarks)) == (half, 1)


async def test_a_form_that_is_carried_on_has_the_fields_of_a_form(
    owner: Space, api_config: ApiConfig
) -> None:
    """It comes from browsers without a session."""
    config = msgspec.structs.replace(api_config, max_body_bytes=32 * 1024 * 1024)
    many = b"\x81\xa6fields\xdd" + (3_000_000).to_bytes(4, "big") + b"\x92\xa0\xa0" * 3_000_000
    async with running(config) as app:
        browser = Browser(app, owner.id)
        answer = await browser.client.post(
            browser.address("skills/new"),
            files={"carried": (None, b64encode(many))},
            headers={"Origin": ORIGIN},
        )
        assert (answer.status_code, "malformed" in answer.text) == (400, True)
        # Only a form with files may be large: escapes are dear to read.
        answer = await browser.client.post(
            browser.address("skills/new"),
            content=b"text=" + b"%0A" * (forms.MAX_PLAIN_BYTES // 3),
            headers={"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (answer.status_code, "at most 1,000,000 bytes" in answer.text) == (400, True)
        await browser.client.aclose()


async def test_a_large_text_goes_on_after_its_session_has_ended(owner: Space, api_config: ApiConfig) -> None:
    config = msgspec.structs.replace(api_config, max_body_bytes=32 * 1024 * 1024)
    text = "€ and +/%\n" * 60_000
    async with running(config) as app:
        browser = Browser(app, owner.id)
        ended = await browser.client.post(
            browser.address("skills/new"),
            files={
                name: (None, value)
                for name, value in {
                    "name": "large",
                    "text": text,
                    "field.description": "d",
                    "do": "keep",
                }.items()
            },
            headers={"Origin": ORIGIN},
        )
        assert ended.status_code == 401
        on = await send(browser, ended.text, NOTHING, key=owner.key)
        assert on.status_code == 307
        await browser.client.aclose()


async def test_tabs_that_keep_at_once_find_the_room_that_there_is(owner: Space) -> None:
    place = console_drafts.Place(owner.user.id, owner.id, "skill", None)
    info = owner.conn.info
    conns = [await Connection.connect(info.dsn, password=info.password, autocommit=True) for _ in range(6)]

    async def many(conn: Connection) -> int:
        kept = 0
        for _ in range(15):
            try:
                await console_drafts.keep(conn, place, "n", b"x")
            except console_drafts.NoRoom:
                continue
            kept += 1
        return kept

    try:
        assert sum(await asyncio.gather(*map(many, conns))) == console_drafts.MAX_DRAFTS
        rows = await console_drafts.list_of(conns[0], owner.user.id, owner.id)
        assert len(rows) == console_drafts.MAX_DRAFTS
        # A tab whose draft another one has changed would make one more.
        with pytest.raises(console_drafts.NoRoom):
            await console_drafts.keep(conns[0], place, "n", b"y", id=rows[0].id, revision=7)
        same = await console_drafts.keep(conns[0], place, "n", b"y", id=rows[0].id, revision=1)
        assert same == (rows[0].id, 2)
    finally:
        for conn in conns:
            await conn.close()
