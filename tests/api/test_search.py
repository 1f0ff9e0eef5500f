"""What a search finds, in which order and where; and that it finds nothing else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from api.artifacts import waiting
from projections.declared import SEARCH
from store.tables import identity
from tests.support import invariants
from tests.support.following import following
from tests.support.space import NewSpace, Space, file, refusal
from workers.projections import ProjectionFollower

BOTH = ("llm_skill:write", "llm_prompt:write")


@pytest_asyncio.fixture(loop_scope="session")
async def searching(app: Any, postgres_url: str) -> AsyncIterator[None]:
    """A follower keeps the projection while the test runs."""
    async with following(postgres_url, lambda news: ProjectionFollower(news, SEARCH)):
        yield


async def search(space: Space, q: str, **query: Any) -> dict[str, Any]:
    query.setdefault("after", await space.head())
    return await space.ok(200, await space.at("GET", "search", params={"q": q, **query}))


async def names(space: Space, q: str, **query: Any) -> list[str]:
    return [hit["name"] for hit in (await search(space, q, **query))["results"]]


async def test_given_a_skill_when_sought_by_words_of_each_field_then_it_is_found_where_it_stands(
    searching: None, space: Space
) -> None:
    await space.create(
        "browser-tests",
        description="Run tests in Chromium.",
        body="# Start\n\nIn a container:\n\n    chromium --no-sandbox\n",
        files=[file("scripts/run.sh", "#!/bin/sh\nset -e\nexec firefox --headless\n")],
    )
    for q, field, path, line, excerpt in (
        ("browser", "name", None, None, "browser-tests"),
        ("chromium tests", "name", None, None, "browser-tests"),
        ("chrómIUM", "description", None, None, "Run tests in Chromium."),
        ("--no-sandbox", "body", "SKILL.md", 5, "chromium --no-sandbox"),
        ("run.sh", "file_path", "scripts/run.sh", None, "scripts/run.sh"),
        ("firefox", "file_content", "scripts/run.sh", 3, "exec firefox --headless"),
        ('"in a container"', "body", "SKILL.md", 3, "In a container:"),
    ):
        answer = await search(space, q)
        assert list(answer) == ["results", "next_cursor"]
        [hit] = answer["results"]
        assert list(hit) == ["kind", "name", "description", "version", "score", "matches"]
        assert (hit["kind"], hit["name"], hit["version"]) == ("skill", "browser-tests", 1)
        first = hit["matches"][0]
        assert list(first) == ["matched_field", "path", "line", "excerpt"]
        assert tuple(first.values()) == (field, path, line, excerpt), q
        assert len(hit["matches"]) <= 2


async def test_given_names_and_texts_then_the_exact_name_stands_first_then_prefixes_then_the_rest(
    searching: None, space: Space
) -> None:
    await space.create("guide", description="All about pdf, pdf and pdf.", body="# pdf\n\npdf pdf pdf\n")
    await space.create("pdf-forms", description="Fill in forms.", body="Nothing else.\n")
    await space.create("pdf", description="Reads.", body="Nothing else.\n")
    await space.create("other", description="Nothing.", body="One pdf in a long text. " + "word " * 200)
    assert await names(space, "pdf") == ["pdf", "pdf-forms", "guide", "other"]
    assert await names(space, "PDF forms") == ["pdf-forms"]
    assert (await names(space, "pdf-fo"))[0] == "pdf-forms", "a prefix of a name while it is typed"
    scores = [hit["score"] for hit in (await search(space, "pdf"))["results"]]
    assert scores == sorted(scores, reverse=True)


async def test_words_are_all_needed_phrases_are_literal_and_a_minus_leaves_out(
    searching: None, space: Space
) -> None:
    await space.create("one", description="Alpha beta gamma.", body="x\n")
    await space.create("two", description="Beta alpha delta.", body="x\n")
    await space.create("three", description="Alpha.", body="beta -- delta --alpha\n")
    assert set(await names(space, "alpha beta")) == {"one", "two", "three"}, "in whatever field"
    assert await names(space, '"alpha beta"') == ["one"]
    assert await names(space, '"beta\talpha"') == ["two"], "blanks are one"
    assert set(await names(space, "alpha -delta")) == {"one"}
    assert set(await names(space, 'alpha -"alpha beta"')) == {"two", "three"}
    assert await names(space, "--alpha") == ["three"], "no negation"
    assert await names(space, '"alphx beta"') == [], "of a phrase, nothing is fuzzy"
    assert await names(space, "-alpha") == [], "nothing is sought"
    assert set(await names(space, "alpha nowhereatall")) == set()


async def test_a_fuzzy_hit_stands_below_every_literal_one(searching: None, space: Space) -> None:
    await space.create("literal", description="Nothing.", body="word " * 500 + "kubernetes " + "word " * 500)
    await space.create(
        "fuzzy", description="kubernets kubernets", body="# kubernets\n\nkubernets kubernets\n"
    )
    await space.create("inside", description="mykubernetesthing", body="# mykubernetesthing\n")
    assert await names(space, "kubernetes") == ["literal", "inside", "fuzzy"]
    assert await names(space, "kuberntes") == ["fuzzy", "literal"]
    [first, *_] = (await search(space, "kuberntes"))["results"]
    assert "kubernets" in first["matches"][0]["excerpt"]
    assert await names(space, '"kuberntes"') == []
    # Page by page, the order is the same, and nothing comes twice.
    found, cursor = [], None
    while True:
        page = await search(space, "kubernetes", limit=1, **({"cursor": cursor} if cursor else {}))
        found += [hit["name"] for hit in page["results"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == ["literal", "inside", "fuzzy"]


async def test_accents_fold_and_scripts_without_blanks_are_found_by_substring(
    searching: None, space: Space
) -> None:
    await space.create("west", description="Un café à Zürich, smørrebrød.", body="ΑΘΉΝΑ\n")
    await space.create("east", description="東京都庁の予約", body="# 一\n\n한국어문서를 읽는다 ภาษาไทย\n")
    for q in ("cafe", "CAFÉ", "zurich", "smorrebrod", "αθηνα", "Ｃａｆｅ"):
        assert await names(space, q) == ["west"], q
    for q in ("京都", "都庁の予", "庁", "국어문", "ษาไท", '"東京都庁"', "京都 予約"):
        assert await names(space, q) == ["east"], q
    assert await names(space, "京庁") == []
    assert await names(space, "予 -京") == []


async def test_only_where_it_should_look(searching: None, space: Space) -> None:
    await space.create(
        "needle", description="Hay.", body="Hay, hay.\n", files=[file("a/needle.txt", "hay\n")]
    )
    await space.create("hay", description="A needle.", body="Hay.\n", files=[file("b.txt", "One needle.\n")])
    await space.create("straw", description="Straw.", body="The needle.\n")
    assert await names(space, "needle") == ["needle", "hay", "straw"]
    assert await names(space, "needle", **{"in": "name"}) == ["needle"]
    assert await names(space, "needle", **{"in": "description"}) == ["hay"]
    assert await names(space, "needle", **{"in": "body"}) == ["straw"]
    assert set(await names(space, "needle", **{"in": "files"})) == {"needle", "hay"}
    assert set(await names(space, "needle", **{"in": "name, body"})) == {"needle", "straw"}


async def test_kinds_follow_the_scopes_of_the_key(searching: None, new_space: NewSpace) -> None:
    space = await new_space(scopes=BOTH)
    await space.create("greet", description="Says hello.", body="hello\n")
    await space.at("POST", "llm_prompts/", json={"name": "Greeting", "prompt": 'Say "hello"\nto all.'})
    chat = [{"role": "system", "content": "Never say hello twice."}]
    await space.at("POST", "llm_prompts/", json={"name": "chat", "prompt": chat})
    assert set(await names(space, "hello")) == {"greet", "Greeting", "chat"}
    assert await names(space, "hello", kind="skill") == ["greet"]
    prompts = (await search(space, "hello all", kind="prompt"))["results"]
    assert [hit["name"] for hit in prompts] == ["Greeting"]
    assert prompts[0]["description"] == ""
    assert prompts[0]["matches"][0] == {
        "matched_field": "body",
        "path": None,
        "line": 1,
        "excerpt": 'Say "hello"',
    }
    [chat_hit] = (await search(space, "twice"))["results"]
    assert chat_hit["matches"][0]["line"] == 4, "of the JSON as it is edited"
    assert (await names(space, "greeting"))[0] == "Greeting"
    for scopes, kind, other in (
        (("llm_skill:read",), "skill", "prompt"),
        (("llm_prompt:read",), "prompt", "skill"),
    ):
        _, key = await identity.create_key(
            space.conn, email=space.user.email, scopes=scopes, project_ids=[space.id]
        )
        space.client.headers["Authorization"] = f"Bearer {key}"
        assert {hit["kind"] for hit in (await search(space, "hello"))["results"]} == {kind}
        refused = await space.at("GET", "search", params={"kind": other})
        assert refusal(refused) == (403, "permission_denied", None), "before anything else"
        assert f"llm_{other}:read" in refused.json()["detail"]
    _, key = await identity.create_key(
        space.conn, email=space.user.email, scopes=("event:read",), project_ids=[space.id]
    )
    space.client.headers["Authorization"] = f"Bearer {key}"
    assert refusal(await space.at("GET", "search", params={"q": "x"}))[:2] == (403, "permission_denied")


async def test_only_what_has_all_of_the_tags(searching: None, new_space: NewSpace) -> None:
    space = await new_space(scopes=BOTH)
    await space.create("one", description="Alike.", tags=["Docs", "web"])
    await space.create("two", description="Alike.", tags=["docs"])
    await space.create("three", description="Alike.")
    await space.at("POST", "llm_prompts/", json={"name": "four", "prompt": "Alike.", "tags": ["web"]})
    assert set(await names(space, "alike", tags=" DOCS")) == {"one", "two"}
    assert await names(space, "alike", tags="web,docs") == ["one"]
    assert set(await names(space, "alike", tags="web")) == {"one", "four"}
    assert await names(space, "alike", tags="none") == []
    assert await names(space, "thr", tags="docs") == []
    assert refusal(await space.at("GET", "search", params={"q": "x", "tags": "x" * 65}))[2] == "tags"


async def test_skills_are_found_by_label_too(searching: None, space: Space) -> None:
    await space.create("it", description="First words.", body="alpha\n")
    await space.publish("it", 1, description="Other words.", body="beta\n")
    await space.ok(201, await space.at("PUT", "llm_skills/name/it/labels/production", json={"version": 1}))
    [hit] = (await search(space, "alpha", label="production"))["results"]
    assert (hit["name"], hit["version"], hit["description"]) == ("it", 1, "First words.")
    assert await names(space, "beta", label="production") == []
    assert await names(space, "beta") == ["it"]


async def test_what_is_archived_gone_or_of_another_project_is_not_found(
    searching: None, space: Space, new_space: NewSpace
) -> None:
    other = await new_space()
    for each in (space, other):
        await each.create("same", description="Common words.", body="Common.\n")
    await other.create("secret", description="Confidential xylophone.", body="The same.\n")
    assert await names(space, "xylophone") == await names(space, "xylophon") == []
    assert await names(space, "common") == ["same"]
    await space.publish("same", 1, description="Fewer words.", body="Rare.\n")
    assert await names(space, "common") == []
    assert await names(space, "rare") == ["same"]
    await space.post("name/same/archive")
    assert (
        await names(space, "rare")
        == await names(space, "same")
        == await names(space, "rare", ever="true")
        == []
    )
    await space.post("name/same/restore")
    assert await names(space, "rare") == ["same"]
    assert await names(other, "common") == ["same"]


async def test_after_a_rename_only_the_new_name_is_found(searching: None, space: Space) -> None:
    await space.create("before", description="It stays.", body="Words.\n")
    await space.publish("before", 1, body="Other words.\n")
    await space.ok(200, await space.post("name/before/rename", json={"new_name": "afterwards"}))
    assert await names(space, "before") == []
    assert await names(space, "before", ever="true") == []
    for q in ("afterwards", "stays", '"other words"'):
        assert await names(space, q) == ["afterwards"]
    assert await names(space, "afterwards", ever="true") == ["afterwards"]


async def test_ever_looks_in_all_versions_and_says_in_which(searching: None, space: Space) -> None:
    await space.create("it", description="One.", body="alpha beta\n")
    await space.publish("it", 1, body="alpha\n")
    await space.publish("it", 2, body="alpha beta gamma\n")
    await space.publish("it", 3, body="gamma\n", description="Two.")
    await space.publish("it", 4, files=[file("a.txt", "delta")])

    async def span(q: str) -> tuple[int, int] | None:
        results = (await search(space, q, ever="true"))["results"]
        assert all(hit["version"] == 5 for hit in results)
        return (results[0]["first_version"], results[0]["last_version"]) if results else None

    assert await names(space, "alpha") == []
    assert await span("alpha") == (1, 3)
    assert await span("beta") == (1, 3)
    assert await span("alpha -beta") == (2, 2)
    assert await span("gamma") == (3, 5)
    assert await span("gamma one") == (3, 3)
    assert await span("alpha two") is None, "never in one version"
    assert await span("delta") == (5, 5)
    assert await span("it") == (1, 5)
    [hit] = (await search(space, "gamma one", ever="true"))["results"]
    assert hit["description"] == "Two."
    assert {(match["matched_field"], match["excerpt"]) for match in hit["matches"]} == {
        ("description", "One."),
        ("body", "alpha beta gamma"),
    }, "as they were in the last of these versions"


async def test_of_a_label_only_the_version_it_points_to(searching: None, new_space: NewSpace) -> None:
    space = await new_space(scopes=BOTH)
    await space.at("POST", "llm_prompts/", json={"name": "hi", "prompt": "Hello there"})
    await space.at("PATCH", "llm_prompts/name/hi", json={"base_version": 1, "prompt": "Goodbye"})
    await space.at("POST", "llm_prompts/", json={"name": "other", "prompt": "Hello Goodbye"})
    await space.at("PUT", "llm_prompts/name/hi/labels/production", json={"version": 1})
    [hit] = (await search(space, "hello", label="production"))["results"]
    assert (hit["name"], hit["version"]) == ("hi", 1)
    assert await names(space, "goodbye", label="production") == []
    assert await names(space, "hi", label="production") == ["hi"]
    assert await names(space, "hello", label="none") == []
    await space.at("PUT", "llm_prompts/name/hi/labels/production", json={"version": 2})
    assert await names(space, "goodbye", label="production") == ["hi"]


HOSTILE = [
    "-", "--", "---", '"', '""', "'", "''", "\\", "\\'", "%", "_", "%%", "&", "|", "!", "<->", ":*", "a:*", "a & !b", "()", "a'b\\",
    "- -", '-"', "-\"a", "\u202e", "\u0301", "\ufdfa" * 300, "京" * 300, "a " * 150, "a-b " * 75, "-a " * 100, "x" * 300, "$(", "\x01",
    "a\tb", "%s", "{}", "\U0010ffff", "ﬀ" * 300, "aaaa" * 75, '"' * 300, "-" * 300, "[" * 300, "(a+)+$", "e\u0301" * 150,
]  # fmt: skip


async def test_given_any_query_and_any_text_then_the_answer_is_one(
    searching: None, new_space: NewSpace
) -> None:
    space = await new_space(scopes=BOTH)
    line = ("word-%d " * 100_000) % tuple(range(100_000))
    await space.create("line", description="-", body=line[:999_990] + " theend")
    await space.create(
        "dense", description="'\"\\", body="".join(map(chr, range(0x4E00, 0x9FFF))) * 15 + "龍龍龍"
    )
    await space.create("binary", files=[file("a.bin", "AAEC/w==", encoding="base64")])
    await space.at("POST", "llm_prompts/", json={"name": "p", "prompt": {"a": ["\\", "'", 1e5, "\x01"]}})
    for q in HOSTILE:
        for more in ({}, {"ever": "true"}, {"label": "production"}):
            answer = await space.at("GET", "search", params={"q": q, **more})
            assert answer.status_code == 200, f"{q!r}: {answer.text}"
        answer = await space.get("search", params={"query": q[:200]})
        assert answer.status_code == 200, f"{q!r}: {answer.text}"
        assert answer.headers["content-type"] == "application/json"
    assert await names(space, "theend") == ["line"]
    [hit] = (await search(space, "word-99"))["results"]
    assert hit["matches"][0]["line"] == 1
    assert "word-99 " in hit["matches"][0]["excerpt"]
    assert len(hit["matches"][0]["excerpt"]) <= 300
    assert await names(space, "龍龍龍") == ["dense"]


async def test_a_yanked_version_is_not_found(searching: None, space: Space, postgres_url: str) -> None:
    async def spans(q: str) -> list[tuple[int, int, int]]:
        found = (await search(space, q, ever="true"))["results"]
        return [(hit["version"], hit["first_version"], hit["last_version"]) for hit in found]

    async def yank(version: int, word: str = "yank") -> None:
        answer = await space.post(f"name/pdf-forms/versions/{version}/{word}", {"reason": "x"})
        assert answer.status_code == 200, answer.text

    await space.create(body="every oldest")
    await space.publish("pdf-forms", 1, body="every middle")
    await space.publish("pdf-forms", 2, body="every newest", files=[file("a.txt", "inside")])
    await space.set_label("live", 3)
    assert await names(space, "newest", label="live") == ["pdf-forms"]

    await yank(3)
    assert [await names(space, q) for q in ("newest", "inside", "middle")] == [[], [], ["pdf-forms"]]
    assert (await search(space, "middle"))["results"][0]["version"] == 2
    assert await names(space, "newest", label="live") == []
    assert [await spans(q) for q in ("newest", "middle", "every")] == [[], [(2, 2, 2)], [(2, 1, 2)]]
    await yank(1)
    assert [await spans(q) for q in ("oldest", "every")] == [[], [(2, 2, 2)]]

    await yank(3, "unyank")
    assert [await names(space, q) for q in ("newest", "inside", "middle")] == [
        ["pdf-forms"],
        ["pdf-forms"],
        [],
    ]
    assert await spans("newest") == [(3, 3, 3)]
    await yank(3)
    await space.publish("pdf-forms", 2, description="fourth", files=[file("a.txt", "outside")])
    assert [await names(space, q) for q in ("middle", "outside", "inside")] == [
        ["pdf-forms"],
        ["pdf-forms"],
        [],
    ]
    assert [await spans(q) for q in ("middle", "newest")] == [[(4, 2, 4)], []]
    await yank(4)
    await yank(4, "unyank")
    await yank(3, "unyank")
    assert [await spans(q) for q in ("middle", "newest")] == [[(4, 2, 4)], [(4, 3, 3)]]
    invariants.check(postgres_url)


async def test_given_a_wrong_query_then_the_first_wrong_field_is_named(space: Space) -> None:
    for query, expected in (
        ({}, (400, "required", "q")),
        ({"q": ""}, (400, "required", "q")),
        ({"q": "  "}, (400, "blank", "q")),
        ({"q": "x" * 301}, (400, "max_length", "q")),
        ({"q": "a\0b"}, (400, "null_characters_not_allowed", "q")),
        ({"q": "x", "kind": "none"}, (400, "invalid_input", "kind")),
        ({"q": "x", "in": "names"}, (400, "invalid_input", "in")),
        ({"q": "x", "in": "name,,body"}, (400, "invalid_input", "in")),
        ({"q": "x", "limit": "0"}, (400, "min_value", "limit")),
        ({"q": "x", "limit": "101"}, (400, "max_value", "limit")),
        ({"q": "x", "limit": "many"}, (400, "invalid_input", "limit")),
        ({"q": "x", "cursor": "e30"}, (400, "invalid_input", "cursor")),
        ({"q": "x", "cursor": "%"}, (400, "invalid_input", "cursor")),
        ({"q": "x", "cursor": "é"}, (400, "invalid_input", "cursor")),
        ({"q": "x", "ever": "yes"}, (400, "invalid_input", "ever")),
        ({"q": "x", "ever": "true", "label": "a"}, (400, "invalid_input", "ever")),
        ({"q": "x", "after": "-1"}, (400, "min_value", "after")),
        ({"q": "x", "after": str(2**60)}, (400, "max_value", "after")),
    ):
        assert refusal(await space.at("GET", "search", params=query)) == expected, query
    for query, expected in (
        ({}, (400, "required", "query")),
        ({"query": "x" * 201}, (400, "max_length", "query")),
        ({"query": "x", "top_k": "11"}, (400, "max_value", "top_k")),
    ):
        assert refusal(await space.get("search", params=query)) == expected, query


async def test_without_a_follower_after_is_503(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    await space.create("late")
    monkeypatch.setattr(waiting, "MAX_WAIT", 0.1)
    answer = await space.at("GET", "search", params={"q": "late", "after": await space.head()})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await space.at("GET", "search", params={"q": "late"})).json() == {
        "results": [],
        "next_cursor": None,
    }


async def test_an_agent_finds_skills_by_a_question(searching: None, space: Space) -> None:
    await space.create(
        "pdf-forms", description="Fill in forms in PDF files.", body="# Fill\n\nRead the form.\n"
    )
    await space.create("pdf-merge", description="Merge PDF files.", body="# Merge\n\nOne after the other.\n")
    await space.create("mail", description="Write a mail.", body="# Mail\n\nDear form.\n")
    after = await space.head()
    answer = await space.ok(
        200, await space.get("search", params={"query": "How do I fill in a PDF form?", "after": after})
    )
    assert list(answer) == ["count", "results"]
    assert answer["count"] == len(answer["results"]) == 3
    assert list(answer["results"][0]) == ["name", "description", "score", "matches"]
    assert answer["results"][0]["name"] == "pdf-forms"
    one = await space.ok(200, await space.get("search/", params={"query": "PDF", "top_k": 1}))
    assert one["count"] == 1


async def test_many_hits_come_page_by_page_each_once(searching: None, space: Space) -> None:
    for number in range(23):
        await space.create(f"many-{number}", description="Alike.", body=f"The same text {number % 3}.\n")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await search(space, "same text", limit=5, **cursor)
        seen += [hit["name"] for hit in page["results"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 23
    assert sorted(seen) == sorted(await names(space, "same text", limit=100))
    assert seen == await names(space, "same text", limit=100)
