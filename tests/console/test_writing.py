"""Writing in the console: drafts, their preview, and versions, as a browser without scripts sends them."""

import asyncio
import base64
from typing import Any
from uuid import uuid4

import pytest

from console.editing import work
from store.tables import console_drafts, identity
from tests.console.conftest import EVERYTHING, OpenBrowser
from tests.support.browsing import ORIGIN, Browser, check_page
from tests.support.forms import Fields, follow, send
from tests.support.space import NewSpace, Space, file

SCRIPT = "</textarea><script>alert('own')</script>"


async def test_an_edit_is_looked_at_and_then_published(owner: Space, browser: Browser) -> None:
    await owner.create("pdf-forms", metadata={"a": 1}, tags=["forms"], files=[file("a.md", "one\n")])
    assert "/skills/pdf-forms/edit" in await browser.page("skills/pdf-forms")
    form = await browser.page("skills/pdf-forms/edit")
    preview = await follow(
        browser,
        await send(
            browser,
            form,
            "preview",
            text="# PDF forms\r\n\r\nRead it twice.\r\n",
            field__license="MIT",
            field__tags="forms, pdf",
            note="Twice is better",
        ),
    )
    assert "Publish version 2" in preview
    assert "<ins>it</ins>" in preview or "Read it twice." in preview
    assert "MIT" in preview
    assert "forms, pdf" in preview
    done = await send(browser, preview, "publish", note="Twice is best")
    shown = await follow(browser, done)
    assert "It is published as version 2." in shown
    skill = await owner.show()
    assert (skill["version"], skill["license"], skill["tags"]) == (2, "MIT", ["forms", "pdf"])
    assert skill["body"] == "# PDF forms\n\nRead it twice.\n"
    assert (skill["version_description"], skill["metadata"]) == ("Twice is best", {"a": 1})
    assert [one["path"] for one in skill["files"]] == ["a.md"]
    # A second click finds what the first has done.
    again = await follow(browser, await send(browser, preview, "publish"))
    assert "published already, as version 2" in again
    assert (await owner.show())["version"] == 2


async def test_two_clicks_at_once_publish_once(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    page = await browser.page("skills/one/edit")
    preview = await follow(browser, await send(browser, page, "preview", text="other"))
    answers = await asyncio.gather(*(send(browser, preview, "publish", note="n") for _ in range(3)))
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["location"].rpartition("/")[2] for answer in answers} == {"one"}
    assert (await owner.show("one"))["version"] == 2


async def test_a_new_skill_and_a_new_prompt_are_written(owner: Space, browser: Browser) -> None:
    assert "/skills/new" in await browser.page("skills")
    form = await browser.page("skills/new")
    refused = await follow(browser, await send(browser, form, "preview", name="Not Right"))
    assert "It cannot be published yet" in refused
    assert "lower-case" in refused
    assert "may not be blank" in refused
    preview = await follow(
        browser,
        await send(browser, refused, "preview", name="right", text="Do.\n", field__description="D"),
    )
    assert "All of it is new" in preview
    assert "<dt><bdi>description</bdi></dt>" in preview
    assert "<dt><bdi>license</bdi></dt>" not in preview
    assert "published as version 1" in await follow(browser, await send(browser, preview, "publish"))
    assert (await owner.show("right"))["body"] == "Do.\n"

    form = await browser.page("prompts/new")
    chat = '[{"role": "user",\r\n "content": "Hi"}]'
    preview = await follow(
        browser,
        await send(
            browser, form, "preview", name="Chat", text=chat, is_json="true", field__config='{"t": 0.10}'
        ),
    )
    assert "Publish" in preview
    await follow(browser, await send(browser, preview, "publish"))
    made = (await owner.at("GET", "llm_prompts/name/Chat")).json()
    assert (made["prompt"], made["config"]) == ([{"role": "user", "content": "Hi"}], {"t": 0.1})


async def test_what_is_wrong_is_said_by_the_rules_of_the_api(owner: Space, browser: Browser) -> None:
    await owner.create("one", files=[file("a.md")])
    form = await browser.page("skills/one/edit")
    page = await follow(
        browser,
        await send(
            browser,
            form,
            "keep",
            text="  ",
            field__description="x" * 1025,
            field__metadata="{broken",
            field__allowed_tools="a b c",
            path__1="../../etc/passwd",
            note="n" * 401,
        ),
    )
    for said in (
        "This may not be blank.",
        "at most 1024 characters",
        "no valid JSON",
        "parentheses",
        "at most 400",
    ):
        assert said in page, said
    assert page.count('class="said error"') >= 6
    # What was written is there, right or not.
    values = Fields(page).values
    assert (values["field.metadata"], values["path.1"]) == ("{broken", "../../etc/passwd")
    assert (await owner.show("one"))["version"] == 1
    warned = await follow(
        browser,
        await send(browser, form, "keep", text="[gone](gone.md) a\u202eb\r\n" * 600),
    )
    assert "no such file" in warned
    assert "Line 1 has a character that cannot be seen: U+202E" in warned
    assert "600 lines" in warned


async def test_files_are_added_renamed_removed_and_uploaded(owner: Space, browser: Browser) -> None:
    png = b"\x89PNG\r\n\x1a\n\0"
    await owner.create("one", files=[file("a.md", "A\r\nB\r\n"), file("b.md", "b"), file("c.md", "c")])
    form = await browser.page("skills/one/edit")
    upload = {"upload": ("C:\\x\\dot.png", png, "image/png")}
    page = await follow(
        browser,
        await send(browser, form, "add", path__2="docs/b.md", remove__3="1", folder="img", files=upload),
    )
    assert "Edit a file of" in page
    page = await follow(
        browser,
        await send(browser, page, "keep", path__5="new/d.sh", content="echo\r\n", content_type="text/x-sh"),
    )
    page = await follow(browser, await send(browser, page, "file:1"))
    assert Fields(page).values["content"] == "A\r\nB\r\n"
    page = await follow(browser, await send(browser, page, "keep", content="A\r\nC\r\n"))
    preview = await follow(browser, await send(browser, page, "preview"))
    for path in ("a.md", "docs/b.md", "img/dot.png", "new/d.sh", "c.md"):
        assert path in preview
    assert "renamed" in preview
    await follow(browser, await send(browser, preview, "publish"))
    found = {one["path"]: one for one in (await owner.show("one"))["files"]}
    assert list(found) == ["a.md", "docs/b.md", "img/dot.png", "new/d.sh"]
    assert (found["new/d.sh"]["content_type"], found["img/dot.png"]["content_type"]) == (
        "text/x-sh",
        "image/png",
    )
    # Lines keep the ends that they had.
    assert (await owner.get("name/one/files/a.md")).json()["content"] == "A\r\nC\r\n"
    stored = (await owner.get("name/one/files/img/dot.png")).json()
    assert base64.b64decode(stored["content"]) == png


async def test_a_renamed_file_is_one_in_the_log_and_on_every_page(owner: Space, browser: Browser) -> None:
    await owner.create("one", files=[file("a.md", "A"), file("b.md", "B"), file("c.md", "C")])

    async def publish(note: str = "", **fields: Any) -> dict[str, Any]:
        form = await browser.page("skills/one/edit")
        preview = await follow(browser, await send(browser, form, "preview", **fields))
        assert "renamed" in preview
        await follow(browser, await send(browser, preview, "publish", note=note))
        newest: dict[str, Any] = (await owner.ok(200, await owner.get("name/one/history/")))["results"][0]
        return newest

    newest = await publish(path__1="docs/a.md", field__tags="forms, moved")
    assert newest["type"] == "skald.skill.file_renamed.v1"
    [renamed] = newest["changes"]["files"]["renamed"]
    assert (renamed["old_path"], renamed["path"]) == ("a.md", "docs/a.md")
    skill = await owner.show("one")
    assert (skill["version"], skill["tags"]) == (2, ["forms", "moved"])
    [changed] = (await owner.ok(200, await owner.get("name/one/diff/?from=1&to=2")))["files"]
    assert (changed["status"], changed["old_path"]) == ("renamed", "a.md")

    # With anything else, the version has a whole new list of files, which pages read as what it is.
    newest = await publish("Why", path__1="b.txt", path__2="c.txt", text="Other.\n")
    assert newest["type"] == "skald.skill.published.v1"
    for page in (await browser.page("skills/one/compare"), await browser.page("skills/one/timeline")):
        for old, new in (("b.md", "b.txt"), ("c.md", "c.txt")):
            assert f"<bdi>{old}</bdi> → <bdi>{new}</bdi>" in page
    assert (await owner.show("one"))["version"] == 3


async def test_what_has_not_changed_is_no_draft_and_no_version(owner: Space, browser: Browser) -> None:
    await owner.create("one", body="a\r\nb\r\n", metadata={"n": 1.50}, allowed_tools=["Bash(a b)"])
    form = await browser.page("skills/one/edit")
    page = await follow(browser, await send(browser, form, "keep"))
    assert "Nothing has changed" in page
    said = await follow(browser, await send(browser, form, "preview"))
    assert "Nothing has changed. There is nothing to publish." in said
    form_of_new = await browser.page("skills/new")
    assert "Nothing is written yet." in await follow(browser, await send(browser, form_of_new, "preview"))
    page = await follow(browser, await send(browser, form, "keep", note="x"))
    assert "It is kept as a draft." in page
    assert "Nothing differs" in await follow(browser, await send(browser, page, "preview"))
    assert "no draft" in await follow(browser, await send(browser, page, "keep", note=""))


async def test_a_draft_is_there_for_its_user_alone_until_it_is_discarded(
    owner: Space, browser: Browser, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    await owner.create("one")
    kept = await send(browser, await browser.page("skills/one/edit"), "keep", text="mine")
    address = kept.headers["location"]
    other = await open_browser(owner)
    assert Fields(await other.page("skills/one/edit")).values["text"] == "mine"
    stranger = await open_browser(await new_space(scopes=EVERYTHING))
    assert (await stranger.get(address)).status_code == 403
    gone = await send(browser, await browser.page(address), "discard")
    assert "The draft is discarded." in await follow(browser, gone)
    assert (await browser.get(address)).status_code == 404
    assert "mine" not in Fields(await browser.page("skills/one/edit")).values["text"]


async def test_another_tab_writes_over_nothing(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    page = await follow(browser, await send(browser, await browser.page("skills/one/edit"), "keep", text="a"))
    first = await send(browser, page, "keep", text="first tab")
    second = await send(browser, page, "keep", text="second tab")
    assert first.headers["location"] != second.headers["location"]
    assert Fields(await follow(browser, first)).values["text"] == "first tab"
    assert Fields(await follow(browser, second)).values["text"] == "second tab"


async def test_somebody_else_was_first_and_both_are_put_together(owner: Space, browser: Browser) -> None:
    lines = [f"line {number}" for number in range(9)]
    await owner.create(
        "one",
        body="\n".join(lines),
        metadata={"a": 1, "b": 1},
        files=[file("a.md", "x\n"), file("b.md", "y")],
    )
    form = await browser.page("skills/one/edit")
    mine = "\r\n".join(["mine", *lines[1:]])
    preview = await follow(
        browser,
        await send(
            browser, form, "preview", text=mine, field__metadata='{"a": 2, "b": 1}', path__1="moved.md"
        ),
    )
    await owner.publish(
        "one",
        1,
        body="\n".join([*lines[:-1], "theirs"]),
        metadata={"a": 1, "b": 2},
        license="MIT",
        files=[file("a.md", "x\nz\n")],
        version_description="Because",
    )
    conflict = await follow(browser, await send(browser, preview, "publish"))
    assert "Both fit together" in conflict
    assert "What you have changed" in conflict
    assert "Because" in conflict
    assert (await owner.show("one"))["version"] == 2
    merged = await follow(browser, await send(browser, conflict, "merge"))
    assert "Publish version 3" in merged
    await follow(browser, await send(browser, merged, "publish"))
    skill = await owner.show("one")
    assert skill["body"].splitlines() == ["mine", *lines[1:-1], "theirs"]
    assert (skill["metadata"], skill["license"]) == ({"a": 2, "b": 2}, "MIT")
    assert [one["path"] for one in skill["files"]] == ["moved.md"]
    assert (await owner.get("name/one/files/moved.md")).json()["content"] == "x\nz\n"


async def test_what_both_have_changed_is_marked_and_chosen_by_hand(owner: Space, browser: Browser) -> None:
    await owner.create("one", body="a\nb\nc\n", description="old")
    form = await browser.page("skills/one/edit")
    page = await follow(
        browser, await send(browser, form, "keep", text="a\r\nmine\r\nc\r\n", field__description="mine")
    )
    await owner.publish("one", 1, body="a\ntheirs\nc\n", description=f"theirs {SCRIPT}")
    stale = await browser.page("skills/one/edit")
    assert "after this was begun" in stale
    conflict = await follow(browser, await send(browser, page, "preview"))
    assert "Both have changed the same lines" in conflict
    page = await follow(browser, await send(browser, conflict, "merge"))
    values = Fields(page).values
    assert values["text"].replace("\r\n", "\n") == (
        "a\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> version 2\nc\n"
    )
    assert values["field.description"] == "mine"
    assert "version 2 has: theirs &lt;/textarea&gt;" in page
    assert "Line 2 marks a conflict" in await follow(browser, await send(browser, page, "preview"))
    preview = await follow(browser, await send(browser, page, "preview", text="a\r\nboth\r\nc\r\n"))
    await follow(browser, await send(browser, preview, "publish"))
    assert (await owner.show("one"))["body"] == "a\nboth\nc\n"


async def test_mine_may_be_taken_over_theirs(owner: Space, browser: Browser) -> None:
    await owner.create("one", body="a\n", files=[file("a.md", "x")])
    form = await browser.page("skills/one/edit")
    await send(browser, form, "keep", text="mine")
    await owner.publish("one", 1, body="theirs", license="MIT")
    conflict = await browser.page("skills/one/edit/conflict")
    page = await follow(browser, await send(browser, conflict, "mine"))
    preview = await follow(browser, await send(browser, page, "preview"))
    await follow(browser, await send(browser, preview, "publish"))
    skill = await owner.show("one")
    assert (skill["version"], skill["body"], skill["license"]) == (3, "mine", "")


async def test_a_text_outlives_its_session(owner: Space, browser: Browser, open_browser: OpenBrowser) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    await browser.post("/console/sign-out")
    answer = await send(browser, form, "keep", text=f"typed {SCRIPT}")
    assert answer.status_code == 401
    check_page(answer)
    assert "Your session has ended" in answer.text
    assert "typed &lt;/textarea&gt;" in answer.text
    wrong = await send(browser, answer.text, "", key="sk_wrong")
    assert wrong.status_code == 401
    assert "wrong, expired or revoked" in wrong.text
    right = await send(browser, wrong.text, "", key=owner.key)
    assert right.status_code == 307
    # As a browser does it: the same form again, with its new session.
    values = Fields(wrong.text).values
    sent = await browser.client.post(
        right.headers["location"], data={**values, "key": owner.key}, headers={"Origin": ORIGIN}
    )
    assert Fields(await follow(browser, sent)).values["text"] == f"typed {SCRIPT}"
    # Where no session comes of it, it does not go round.
    stranger = await open_browser(owner, signed_in=False)
    stopped = await stranger.client.post(
        right.headers["location"], data={**values, "key": owner.key}, headers={"Origin": ORIGIN}
    )
    assert stopped.status_code == 401


async def test_a_key_that_only_reads_sees_no_button_and_loses_no_text(
    owner: Space, browser: Browser, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    reader = await new_space(scopes=("llm_skill:read",))
    await reader.conn.execute("UPDATE keys SET project_ids = NULL WHERE user_id = %s", (reader.user.id,))
    reading = await open_browser(reader)
    reading.project_id = owner.id
    assert "/edit" not in await reading.page("skills/one")
    assert "/skills/new" not in await reading.page("skills")
    for path in ("skills/one/edit", "skills/new", "skills/one/edit/preview"):
        refused = await reading.get(path)
        assert refused.status_code == 403
        assert "llm_skill:write" in refused.text
    answer = await send(reading, form, "keep", text="typed")
    assert answer.status_code == 403
    assert "may not write here" in answer.text
    assert "typed" in answer.text
    assert (await send(reading, form, "publish")).status_code == 403
    signed = await send(reading, answer.text, "", key=owner.key)
    assert signed.status_code == 307


async def test_a_form_of_another_site_is_refused(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("skills/one/edit", "skills/new"):
            answer = await browser.post(path, {"text": "x", "do": "keep"}, headers=headers)
            assert answer.status_code == 403
            assert "another site" in answer.text


async def test_what_is_archived_meanwhile_is_a_draft_of_a_new_one(owner: Space, browser: Browser) -> None:
    await owner.create("one", files=[file("a.md", "kept")])
    form = await browser.page("skills/one/edit")
    await owner.post("name/one/archive")
    page = await follow(browser, await send(browser, form, "preview", text="mine"))
    assert Fields(page).values["name"] == "one"
    preview = await follow(browser, await send(browser, page, "preview"))
    await follow(browser, await send(browser, preview, "publish"))
    assert (await owner.show("one"))["body"] == "mine"


async def test_what_is_archived_before_the_last_click_leads_to_the_draft(
    owner: Space, browser: Browser
) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    preview = await follow(browser, await send(browser, form, "preview", text="mine"))
    stream_id = (await owner.show("one"))["id"]
    await owner.post("name/one/archive")
    drafts = await follow(browser, await send(browser, preview, "publish"))
    assert "archived meanwhile" in drafts
    assert "As a new one" in drafts
    restored = await owner.client.post(
        f"/api/projects/{owner.id}/llm_skills/name/one/restore/", json={"id": stream_id}
    )
    assert restored.status_code == 200, restored.text
    await follow(browser, await send(browser, preview, "publish"))
    assert (await owner.show("one"))["body"] == "mine"


async def test_a_rename_before_the_last_click_leads_to_what_would_be_published(
    owner: Space, browser: Browser
) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    preview = await follow(browser, await send(browser, form, "preview", text="mine"))
    done: list[Any] = []
    execute = work.publish

    async def renamed_meanwhile(*args: Any) -> Any:
        if not done:
            done.append(await owner.post("name/one/rename", {"new_name": "two"}))
        return await execute(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "publish", renamed_meanwhile)
        said = await follow(browser, await send(browser, preview, "publish"))
    assert "is named &#39;two&#39; now" in said
    await follow(browser, await send(browser, said, "publish"))
    assert (await owner.show("two"))["body"] == "mine"


async def test_a_renamed_one_is_edited_by_its_name_of_now(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    await owner.post("name/one/rename", {"new_name": "two"})
    page = await follow(browser, await send(browser, form, "preview", text="mine"))
    await follow(browser, await send(browser, page, "publish"))
    assert (await owner.show("two"))["body"] == "mine"


async def test_drafts_are_bounded_and_end(
    owner: Space, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    monkeypatch.setattr(console_drafts, "MAX_BYTES", 10_000)
    large = "x" * (console_drafts.MAX_BYTES + 1)
    answer = await send(browser, form, "keep", text=large)
    assert answer.status_code == 400
    assert "A draft has at most" in answer.text
    assert large in answer.text
    await owner.conn.execute(
        """INSERT INTO console_drafts SELECT gen_random_uuid(), %s, %s, 'skill', NULL, 'n', 1, NULL, '', now(), now() + '1 day'
           FROM generate_series(1, %s)""",
        (owner.user.id, owner.id, console_drafts.MAX_DRAFTS),
    )
    answer = await send(browser, form, "keep", text="typed")
    assert answer.status_code == 400
    assert "publish or discard others first" in answer.text
    assert "typed" in answer.text
    await owner.conn.execute(
        "UPDATE console_drafts SET expires_at = now() WHERE user_id = %s", (owner.user.id,)
    )
    assert "It is kept" in await follow(browser, await send(browser, form, "keep", text="typed"))
    left = await console_drafts.list_of(owner.conn, owner.user.id, owner.id)
    assert len(left) == 1


async def test_an_earlier_version_is_written_on(owner: Space, browser: Browser) -> None:
    await owner.create("one", body="first", license="MIT", files=[file("a.md", "A")], tags=["t"])
    await owner.publish("one", 1, body="second", license="", files=[file("b.md", "B")])
    assert "revert:" not in await browser.page("skills/one")
    old = await browser.page("skills/one", version=1)
    page = await follow(browser, await send(browser, old, "revert:1"))
    assert Fields(page).values["note"] == "Back to version 1"
    preview = await follow(browser, await send(browser, page, "preview", text="first, and more"))
    await follow(browser, await send(browser, preview, "publish"))
    skill = await owner.show("one")
    assert (skill["version"], skill["body"], skill["license"]) == (3, "first, and more", "MIT")
    assert ([one["path"] for one in skill["files"]], skill["tags"]) == (["a.md"], ["t"])
    assert (await browser.post("skills/one/edit", {"do": "revert:9"})).status_code == 404


async def test_a_draft_of_a_yanked_version_goes_on_from_the_latest(owner: Space, browser: Browser) -> None:
    await owner.create("one", body="a\nb\nc\n")
    await owner.publish("one", 1, body="a\nb\nwrong\n")
    form = await browser.page("skills/one/edit")
    await send(browser, form, "keep", text="mine\r\nb\r\nwrong\r\n")
    assert (await owner.post("name/one/versions/2/yank", {"reason": "It is wrong"})).status_code == 200
    assert "is not used any more" in await browser.page("skills/one/edit")
    conflict = await browser.page("skills/one/edit/conflict")
    assert "Both fit together" in conflict
    preview = await follow(browser, await send(browser, conflict, "merge"))
    assert "Publish version 3" in preview
    await follow(browser, await send(browser, preview, "publish"))
    skill = await owner.show("one")
    assert (skill["version"], skill["body"]) == (3, "mine\nb\nc\n")


async def test_drafts_are_listed_discarded_and_used_for_new_ones(
    owner: Space, browser: Browser, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    assert "There are none" in await browser.page("drafts")
    await owner.create("one", files=[file("a.md", "A")])
    form = await browser.page("skills/one/edit")
    for text in ("mine", "mine, too"):
        await send(browser, form, "keep", text=text)
    assert "You have other drafts of it" in await browser.page("skills/one/edit")
    await send(browser, await browser.page("prompts/new"), "keep", name="p", text="new")
    page = await browser.page("drafts")
    assert page.count("Discard</button>") == 3
    left = await console_drafts.list_of(owner.conn, owner.user.id, owner.id)
    ids = [str(one.id) for one in left if one.stream_id is not None]
    await owner.post("name/one/archive")
    copied = await follow(browser, await browser.post("skills/new", {"do": f"copy:{ids[0]}"}))
    values = Fields(copied).values
    assert (values["name"], values["text"], values["path.1"]) == ("one", "mine, too", "a.md")
    assert (await browser.post("skills/new", {"do": "copy:x"})).status_code == 404
    stranger = await open_browser(await new_space(scopes=EVERYTHING))
    assert (await stranger.post("skills/new", {"do": f"copy:{ids[0]}"})).status_code == 404
    assert (await stranger.post("drafts", {"id": ids[0]})).status_code == 404
    assert "is discarded" in await follow(browser, await browser.post("drafts", {"id": ids[0]}))
    assert (await browser.post("drafts", {"id": ids[0]})).status_code == 404


async def test_a_prompt_is_merged_key_by_key_and_refers_to_what_is_there(
    owner: Space, browser: Browser
) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be kind"}]
    made = await owner.at(
        "POST", "llm_prompts/", json={"name": "one", "prompt": chat, "config": {"a": 1, "b": 1, "c": 1}}
    )
    assert made.status_code == 201
    form = await browser.page("prompts/one/edit")
    mine = '{"a": 2, "b": 1, "c": 10.0000000000000000001}'
    await send(browser, form, "keep", field__config=mine)
    theirs = {"base_version": 1, "config": {"a": 1, "b": 5, "c": 3}, "prompt": chat[:1]}
    assert (await owner.at("PATCH", "llm_prompts/name/one", json=theirs)).status_code == 200
    conflict = await browser.page("prompts/one/edit/conflict")
    assert "both have changed &#39;c&#39;" in conflict
    page = await follow(browser, await send(browser, conflict, "merge"))
    await follow(browser, await send(browser, page, "publish"))
    raw = (await owner.at("GET", "llm_prompts/name/one")).text
    assert '"config":{"a":2,"b":5,"c":10.0000000000000000001}' in raw
    assert '"prompt":[{"role":"user","content":"Hi"}]' in raw
    wrong = await follow(
        browser,
        await send(browser, await browser.page("prompts/one/edit"), "preview", text="[{", is_json="true"),
    )
    assert "no valid JSON" in wrong
    gone = await send(browser, wrong, "keep", text="@@@prompt:name=none|version=1@@@", is_json="false")
    assert "refers to nothing" in await follow(browser, gone)


async def test_owners_are_set_by_name_or_mail(
    owner: Space, browser: Browser, new_space: NewSpace, open_browser: OpenBrowser
) -> None:
    await owner.create("one")
    other = await identity.create_user(owner.conn, email=f"{uuid4().hex}@example.com", first_name="Bob")
    gone = await identity.create_user(owner.conn, email=f"{uuid4().hex}@example.com")
    await identity.create_key(owner.conn, email=other.email, scopes=EVERYTHING, project_ids=[owner.id])
    assert "skills/one/owners" in await browser.page("skills/one/manage")
    await browser.page("skills/one/owners")
    assert "Bob" in await follow(browser, await browser.post("skills/one/owners", {"add": other.email}))
    assert "1 owner → 2 owners" in await browser.page("skills/one/timeline")
    assert [one["id"] for one in (await owner.show("one"))["owners"]] == sorted([owner.user.id, other.id])
    said = await follow(browser, await browser.post("skills/one/owners", {"add": gone.email}))
    assert "No user with a live key" in said
    await browser.post("skills/one/owners", {"remove": str(owner.user.id)})
    assert [one["id"] for one in (await owner.show("one"))["owners"]] == [other.id]
    assert (await owner.show("one"))["version"] == 1
    reading = await open_browser(await new_space(scopes=("llm_skill:read",)))
    assert (await reading.post("skills/one/owners", {"add": "x"})).status_code == 403
    assert (await browser.post("skills/one/owners", {"add": "x"}, headers={})).status_code == 403


async def test_what_is_wrong_is_not_published_by_a_form_of_its_own(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    wrong: list[dict[str, Any]] = [
        {"text": " \n"},
        {"text": "a\0b"},
        {"note": "n" * 401},
        {"field__description": ""},
    ]
    for changed in wrong:
        kept = await send(browser, form, "keep", **changed)
        page = await follow(browser, kept)
        assert "To be mended" in await follow(browser, await send(browser, page, "publish"))
    for name in ("a\0b", "x" * 10_000, "\u202e", "new", "one"):
        page = await follow(
            browser,
            await send(
                browser, await browser.page("skills/new"), "keep", name=name, text="t", field__description="d"
            ),
        )
        assert Fields(page).values["name"] == name
        assert "skills" in await follow(browser, await send(browser, page, "publish"))
    assert await owner.names() == ["one"]
    assert (await owner.show("one"))["version"] == 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=a", b"--a\r\n\r\n"),
        (
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--a--\r\n',
        ),
        (
            "multipart/form-data; boundary=a",
            b"--a\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n" * 501 + b"--a--\r\n",
        ),
        ("application/x-www-form-urlencoded", b"text=%ff"),
        ("application/x-www-form-urlencoded", b"carried=%%%"),
        ("application/x-www-form-urlencoded", b"carried=AAAA"),
        ("application/json", b"{}"),
    ],
)
async def test_a_broken_form_is_refused(
    owner: Space, browser: Browser, content_type: str, body: bytes
) -> None:
    await owner.create("one")
    headers = {"Origin": ORIGIN, "Content-Type": content_type}
    for path in ("skills/one/edit", "skills/new"):
        answer = await browser.client.post(browser.address(path), content=body, headers=headers)
        assert answer.status_code in (400, 415), (answer.status_code, answer.text[:300])
        check_page(answer)


async def test_odd_fields_do_nothing(owner: Space, browser: Browser) -> None:
    await owner.create("one", files=[file("a.md")])
    form = await browser.page("skills/one/edit")
    odd: list[dict[str, Any]] = [
        {"draft": "x", "revision": "x", "base": "x"},
        {"draft": "00000000-0000-0000-0000-000000000000", "revision": "9" * 30, "base": "-1"},
        {"file": "99", "content": "x"},
        {"path__99": "x", "remove__99": "1", "tags_before": "x" * 1000},
    ]
    for fields in odd:
        answer = await send(browser, form, "nothing-known", **fields)
        assert answer.status_code == 303, (fields, answer.text[:500])
    assert (await send(browser, form, "file:x")).status_code == 303
    assert (await browser.get("skills/one/edit/file", params={"file": 99})).status_code == 404
    assert (await send(browser, form, "keep", base="99")).status_code == 404


async def test_drafts_end_with_their_user(owner: Space, browser: Browser) -> None:
    await send(browser, await browser.page("prompts/new"), "keep", name="mine", text="personal")
    assert len(await console_drafts.list_of(owner.conn, owner.user.id, owner.id)) == 1
    await identity.erase_user(owner.conn, owner.user.email)
    assert await console_drafts.list_of(owner.conn, owner.user.id, owner.id) == []


async def test_a_script_keeps_and_checks_without_a_page(owner: Space, browser: Browser) -> None:
    await owner.create("one")
    form = await browser.page("skills/one/edit")
    part = await send(browser, form, "keep", text="[a](gone.md)", as_="part")
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "no such file" in part.text
    assert 'data-revision="1"' in part.text
    wrong = await send(browser, form, "keep", text=" ", as_="part")
    assert 'data-errors="1"' in wrong.text
    assert (await owner.show("one"))["version"] == 1


async def test_hostile_texts_stay_texts(owner: Space, browser: Browser) -> None:
    await owner.create("one", description=SCRIPT, body="x" * 1_000_000, files=[file("a\u202eb.md", SCRIPT)])
    page = await browser.page("skills/one/edit")
    assert "<script>alert" not in page
    body = "\n\n<svg onload=alert(1)> [x](javascript:alert(1)) \u202e\u200b " + SCRIPT
    page = await follow(browser, await send(browser, page, "keep", text=body, note=SCRIPT))
    # A text that begins with line feeds has them still.
    assert Fields(page).values["text"].startswith("\r\n\r\n<svg")
    preview = await follow(browser, await send(browser, page, "preview"))
    assert "<script>alert" not in preview
    assert "\u202e" not in preview
    await follow(browser, await send(browser, preview, "publish"))
    assert (await owner.show("one"))["body"] == body
    file_page = await browser.page("skills/one/edit/file", file=1)
    assert "<script>alert" not in file_page
