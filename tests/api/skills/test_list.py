"""The list: search, filters, orders, pages, links (contract, section 4)."""

from typing import Any

from store.tables import identity
from tests.support.space import Space, refusal


async def fill(space: Space, *names: str, **fields: Any) -> None:
    for name in names:
        await space.create(name, **fields)


async def test_search_is_a_substring_of_name_or_description_in_any_case(space: Space) -> None:
    await space.create("pdf-forms", description="Fill in Forms")
    await space.create("reports", description="Größe ÉCLAIR Σίσυφος")

    for text, found in {
        "PDF": ["pdf-forms"],
        "df-fo": ["pdf-forms"],
        "in fo": ["pdf-forms"],
        "größe": ["reports"],
        "GRÖSSE": ["reports"],
        "éclair": ["reports"],
        "ΣΊΣΥΦΟΣ": ["reports"],
        "o": ["pdf-forms", "reports"],
        "read the form": [],
        "fill  in": [],
        "forms reports": [],
    }.items():
        assert await space.names(search=text, order_by="name") == found, text


async def test_percent_underscore_and_backslash_are_literal(space: Space) -> None:
    await space.create("a", description="100% sure")
    await space.create("b", description="snake_case")
    await space.create("c", description="back\\slash")
    await space.create("d", description="100 sure snakeXcase")

    assert await space.names(search="100%") == ["a"]
    assert await space.names(search="%") == ["a"]
    assert await space.names(search="_") == ["b"]
    assert await space.names(search="e_c") == ["b"]
    assert await space.names(search="\\") == ["c"]
    assert await space.names(search="\\s") == ["c"]
    assert await space.names(search="'") == []


async def test_search_sees_the_latest_description_only(space: Space) -> None:
    await space.create("a", description="before")
    await space.publish("a", 1, description="after")

    assert await space.names(search="before") == []
    assert await space.names(search="after") == ["a"]
    page = (await space.get("", params={"search": "after"})).json()
    assert page["count"] == 1


async def test_a_search_has_a_limit(space: Space) -> None:
    await space.create("a")

    assert await space.names(search="x" * 1_000) == []
    assert refusal(await space.get("", params={"search": "x" * 1_001})) == (400, "max_length", "search")
    # The whole query has one, too.
    assert (await space.get("", params={"search": "x" * 20_000})).status_code == 400


async def test_created_by_id_is_the_publisher_of_the_latest_version(space: Space) -> None:
    await fill(space, "mine", "theirs")
    other = await identity.create_user(space.conn, email=f"list-{space.id}@example.com", first_name="Bob")
    _, key = await identity.create_key(space.conn, email=other.email, scopes=["*"], project_ids=[space.id])
    await space.patch("theirs", {"base_version": 1}, headers={"Authorization": f"Bearer {key}"})

    assert await space.names(created_by_id=space.user.id) == ["mine"]
    assert await space.names(created_by_id=other.id) == ["theirs"]
    assert await space.names(created_by_id=other.id, search="mine") == []
    for nobody in (0, -1, 2**63 - 1):
        assert await space.names(created_by_id=nobody) == []


async def test_the_newest_comes_first(space: Space) -> None:
    await fill(space, "b", "a", "c")
    await space.publish("b", 1)

    assert await space.names() == ["b", "c", "a"]


async def test_every_order_in_both_directions_with_ties_by_id(space: Space) -> None:
    await fill(space, "b", "d", "a", "c")
    for base in (1, 2):
        await space.publish("a", base)
    await space.publish("d", 1)
    # It has three versions, and the first is the latest.
    for number in (2, 3):
        await space.ok(200, await space.post(f"name/a/versions/{number}/yank", {"reason": "wrong"}))
    await space.set_label("live", 1, "a")
    rows = (await space.get("")).json()["results"]

    for field in ("name", "created_at", "updated_at", "version", "latest_version", "version_count"):
        for sign in ("", "-"):
            by_id = sorted(rows, key=lambda row: str(row["id"]), reverse=True)
            expected = sorted(by_id, key=lambda row: row[field], reverse=sign == "-")
            names = [row["name"] for row in expected]
            assert await space.names(order_by=sign + field) == names, sign + field
            assert await space.names(order_by=sign + field, position=await space.head()) == names
            assert await space.names(order_by=sign + field, limit=2, offset=1) == names[1:3]
            assert await space.names(order_by=sign + field, search="pdf") == names
            assert await space.names(order_by=sign + field, label="live") == ["a"]


async def test_pages_follow_their_links(space: Space) -> None:
    await fill(space, *"abcdefg")
    seen: list[str] = []
    address = f"/api/environments/{space.id}/llm_skills/?search=form&order_by=name&limit=3&x=%C3%A9+1"
    pages = []

    while address:
        page = (await space.at("GET", address)).json()
        pages.append(page)
        seen += [row["name"] for row in page["results"]]
        address = page["next"] and page["next"].removeprefix("http://skald.test")

    assert seen == list("abcdefg")
    assert [page["count"] for page in pages] == [7, 7, 7]
    base = f"http://skald.test/api/environments/{space.id}/llm_skills/?search=form&order_by=name&limit=3&x=%C3%A9%201"
    assert pages[0]["next"] == f"{base}&offset=3"
    assert [page["previous"] for page in pages] == [None, base, f"{base}&offset=3"]
    assert pages[2]["next"] is None


async def test_bounds_of_a_page(space: Space) -> None:
    await fill(space, *"abc")

    async def page(**query: Any) -> tuple[list[str], str | None, str | None]:
        answer = (await space.get("", params={"order_by": "name", **query})).json()
        assert answer["count"] == 3
        return [row["name"] for row in answer["results"]], answer["next"], answer["previous"]

    assert (await page(limit=3))[:2] == (["a", "b", "c"], None)
    names, following, _ = await page(limit=2)
    assert names == ["a", "b"]
    assert following is not None
    names, following, previous = await page(limit=2, offset=1)
    assert (names, following) == (["b", "c"], None)
    assert previous is not None
    assert "offset" not in previous
    names, following, previous = await page(offset=100)
    assert (names, following) == ([], None)
    assert previous is not None
    assert (await page(limit=5000))[0] == ["a", "b", "c"]
    assert (await page(offset=10**30))[0] == []


async def test_a_limit_above_1000_is_1000(space: Space) -> None:
    await space.create("a")
    pretend = "UPDATE artifact_counts SET active = active + %s WHERE project_id = %s"
    await space.conn.execute(pretend, (5000, space.id))

    above, absent = (await space.get("?limit=1001")).json(), (await space.get("")).json()

    await space.conn.execute(pretend, (-5000, space.id))
    # One row came, and the next page begins behind it.
    assert above["next"].endswith("?limit=1000&offset=1")
    assert absent["next"].endswith("?limit=100&offset=1")


async def test_links_have_the_scheme_and_host_of_the_client(space: Space) -> None:
    await fill(space, "a", "b")
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "skald.example",
        "X-Forwarded-For": "203.0.113.9",
    }

    async def following(peer: Space, **headers: str) -> str:
        link: str = (await peer.get("?limit=1", headers=headers)).json()["next"]
        return link.partition("/api/")[0]

    proxy, stranger = space.seen_from("10.9.8.7"), space.seen_from("203.0.113.7")
    assert await following(proxy, **forged) == "https://skald.example"
    assert await following(stranger, **forged) == "http://skald.test"
    assert await following(stranger, Host="other.example:8080") == "http://other.example:8080"
    assert await following(proxy) == "http://skald.test"


async def test_links_keep_the_address_as_it_was_written(space: Space) -> None:
    await fill(space, "a", "b")

    for address in (f"/api/projects/{space.id}/llm_skills", "/api/environments/@current/llm_skills/"):
        link = (await space.at("GET", f"{address}?limit=1")).json()["next"]
        assert link == f"http://skald.test{address}?limit=1&offset=1"


async def test_archived_skills_are_neither_listed_nor_counted(space: Space) -> None:
    await fill(space, "a", "b")
    await space.post("name/a/archive")

    page = (await space.get("")).json()
    assert ([row["name"] for row in page["results"]], page["count"]) == (["b"], 1)
    page = (await space.get("?search=form")).json()
    assert ([row["name"] for row in page["results"]], page["count"]) == (["b"], 1)


async def test_an_empty_project(space: Space) -> None:
    assert (await space.get("")).json() == {"count": 0, "next": None, "previous": None, "results": []}
    assert (await space.get("?search=x&created_by_id=1&order_by=-name")).json()["count"] == 0


async def test_a_search_that_finds_much_has_the_pages_of_one_that_finds_little(space: Space) -> None:
    names = [f"{'form' if number % 3 else 'mail'}-{number:03d}" for number in range(240)]
    for name in names:
        await space.create(name, description=f"Has {name[:4].upper()} in its text")
    assert (await space.post("name/form-001/archive/")).status_code == 204
    await space.publish("form-004", 1, description="Has another text")
    names.remove("form-001")
    newest = ["form-004", *(name for name in reversed(names) if name != "form-004")]

    async def found(search: str, order: str, **page: int) -> list[str]:
        answer = (await space.get("", params={"search": search, "order_by": order, **page})).json()
        assert answer["count"] == len([name for name in names if search in name])
        return [row["name"] for row in answer["results"]]

    for search in ("form", "form-0", "m", "-10"):
        expected = [name for name in names if search in name]
        assert await found(search, "name", limit=50) == sorted(expected)[:50]
        assert await found(search, "-name", limit=50, offset=20) == sorted(expected)[::-1][20:70]
        assert await found(search, "name", offset=len(expected)) == []
        by_time = [name for name in newest if search in name]
        assert await found(search, "-created_at", limit=60) == by_time[:60]
        assert await found(search, "-version", limit=1) == by_time[:1]


async def test_a_page_behind_the_last_one_still_counts(space: Space) -> None:
    await fill(space, "a", "b")

    for query in ({}, {"search": "b"}, {"created_by_id": str(space.user.id)}):
        page = (await space.get("", params={**query, "offset": "5"})).json()
        assert (page["count"], page["results"]) == (1 if "search" in query else 2, [])
