"""Lists answered ``limit`` rows whatever their size: 300 prompts of 990 KB made 298 MB, 1.2 GB of memory and 5 s of silence.

Now a page ends where an answer does, and its ``next`` begins behind the rows that came.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from projections import sizes
from projections.read import past, versions
from tests.support.messages import meet
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space

SMALL = 40_000
LARGE = "x" * 8_000
SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")


@pytest_asyncio.fixture(loop_scope="session")
async def project(new_space: NewSpace) -> Space:
    return await new_space(scopes=SCOPES)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers hold 40 KB."""
    monkeypatch.setattr(sizes, "MAX_ANSWER", SMALL)


async def pages(space: Space, address: str) -> list[httpx.Response]:
    """All pages from an address on, as a client that follows ``next`` meets them."""
    found = [await space.at("GET", address)]
    for _ in range(100):
        page = await space.ok(200, found[-1])
        if page["next"] is None or not page["results"]:
            return found
        found.append(await space.client.get(page["next"]))
    raise AssertionError("no end")


def rows_of(answers: list[httpx.Response]) -> list[Any]:
    return [row for answer in answers for row in answer.json()["results"]]


async def fill_prompts(space: Space) -> list[str]:
    names = [f"prompt-{number:02}" for number in range(11)]
    for name in names:
        await PromptSpace(space).create(name, prompt=f"Needle {name} {LARGE}")
        await PromptSpace(space).put("production", {"version": 1}, name)
    return names


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("order", ["name", "-created_at", "version"])
@pytest.mark.parametrize("filters", ["", "&search=needle", "&label=production"])
@pytest.mark.parametrize("moment", ["", "&position={head}"])
async def test_pages_of_large_prompts_end_early(
    project: Space, order: str, filters: str, moment: str
) -> None:
    names = await fill_prompts(project)
    moment = moment.format(head=await project.head())
    got = await pages(project, f"llm_prompts/?content=full&limit=7&order_by={order}{filters}{moment}")

    assert sorted(row["name"] for row in rows_of(got)) == names, "none is lost, none comes twice"
    assert {answer.json()["count"] for answer in got} == {11}
    assert max(len(answer.content) for answer in got) <= SMALL
    assert len(got) == 3, "four fit into a page"
    middle = got[1].json()
    assert "limit=7" in middle["next"]
    assert "offset=8" in middle["next"]
    assert "limit=7" in middle["previous"]
    assert "offset=" not in middle["previous"]
    # Small rows fill their pages, as before.
    (whole,) = await pages(project, f"llm_prompts/?content=preview{filters}{moment}")
    assert len(whole.json()["results"]) == 11


@pytest.mark.usefixtures("small")
async def test_a_row_that_is_larger_than_an_answer_comes_alone(project: Space) -> None:
    for name in ("a", "b", "c"):
        await PromptSpace(project).create(name, prompt="x" * 2 * SMALL)
    got = await pages(project, "llm_prompts/?content=full&order_by=name")
    assert [[row["name"] for row in answer.json()["results"]] for answer in got] == [["a"], ["b"], ["c"]]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("moment", ["", "?position={head}&limit=50"])
async def test_pages_of_skills_with_long_outlines_end_early(project: Space, moment: str) -> None:
    outline = "".join(f"# {number} {'x' * 80}\n" for number in range(120))
    names = [f"skill-{number}" for number in range(8)]
    for name in names:
        await project.create(name, body=outline)
    got = await pages(project, "llm_skills/" + moment.format(head=await project.head()))
    assert sorted(row["name"] for row in rows_of(got)) == names
    assert len(got) > 1
    assert max(len(answer.content) for answer in got) <= SMALL


@pytest.mark.usefixtures("small")
async def test_pages_of_large_archived_prompts_end_early(project: Space) -> None:
    names = await fill_prompts(project)
    for name in names:
        await PromptSpace(project).post(f"name/{name}/archive")
    got = await pages(project, "llm_prompts/archived/?content=full")
    assert [row["name"] for row in rows_of(got)] == names[::-1]
    assert len(got) == 3
    assert max(len(answer.content) for answer in got) <= SMALL


async def fill_events(space: Space) -> None:
    """Eleven events of some 8 KB: what stands in an event is its metadata, and not its texts."""
    for number in range(11):
        await space.create(f"skill-{number:02}", metadata={"large": LARGE})


READERS: list[tuple[str, dict[str, str], Callable[[httpx.Response], list[int]]]] = [
    ("events/", {}, lambda answer: [row["position"] for row in answer.json()["results"]]),
    (
        "events/",
        {"accept": "application/cloudevents-batch+json"},
        lambda answer: [row["position"] for row in answer.json()],
    ),
    (
        "events/",
        {"accept": "application/x-ndjson"},
        lambda answer: [json.loads(line)["position"] for line in answer.text.splitlines()],
    ),
    ("audit/", {}, lambda answer: [row["position"] for row in answer.json()["results"]]),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("path", "headers", "positions"), READERS)
async def test_pages_of_large_events_end_early(
    project: Space,
    path: str,
    headers: dict[str, str],
    positions: Callable[[httpx.Response], list[int]],
) -> None:
    start = await project.head()
    await fill_events(project)
    expected = list(range(start + 1, await project.head() + 1))
    found: list[list[int]] = []
    url = f"/api/projects/{project.id}/{path}?after={start}&limit=100"
    for _ in range(20):
        answer = await project.client.get(url, headers=headers)
        assert len(answer.content) <= SMALL + 2_000
        if not positions(answer):
            break
        found.append(positions(answer))
        link = answer.links["next"]["url"] if "link" in answer.headers else answer.json()["next"]
        assert f"after={found[-1][-1]}" in link or found[-1][-1] == expected[-1]
        url = link
    assert [position for page in found for position in page] == expected
    assert len(found) == 3


@pytest.mark.usefixtures("small")
async def test_pages_of_a_history_of_large_changes_end_early(project: Space) -> None:
    """An event may be small that changes much: a revert names no file, and its entry all of them."""
    files = [{"path": f"{number}/{'p' * 90}.txt", "content": "x"} for number in range(80)]
    await project.create("a", files=files)
    for version in range(1, 11):
        if version % 2:
            await project.publish("a", version, files=[])
        else:
            await project.ok(
                200, await project.post("name/a/revert", {"version": 1, "base_version": version})
            )
    got = await pages(project, "llm_skills/name/a/history/")
    entries = rows_of(got)
    assert [entry["version_after"] for entry in entries] == list(range(11, 0, -1))
    assert len(got) > 1
    assert max(len(answer.content) for answer in got) <= SMALL + 2_000


async def test_an_audit_of_large_events_is_written_in_parts(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill_events(project)
    monkeypatch.setattr("api.events.audit.MAX_PART", SMALL)
    parts: list[int] = []

    async def taken(part: bytes) -> None:
        parts.append(len(part))

    await meet(project, f"audit/?format=ndjson&after={await project.head() - 11}", taken)
    assert len(parts) == 3
    assert max(parts) <= SMALL + 2_000


async def test_a_stream_of_large_events_is_written_in_parts(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = await project.head()
    await fill_events(project)
    monkeypatch.setattr(sizes, "MAX_PART", SMALL)
    parts: list[bytes] = []

    async def taken(part: bytes) -> bool:
        parts.append(part)
        return b"".join(parts).count(b"\ndata: ") == 11

    await meet(project, f"events/stream?after={start}", taken)
    assert max(map(len, parts)) <= SMALL + 2_000
    assert len([part for part in parts if b"data: " in part]) == 3


async def test_prompts_of_a_megabyte_come_eight_at_a_time(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real limit: neither the answer nor what is fetched for it is more."""
    for number in range(20):
        await PromptSpace(project).create(f"large-{number:02}", prompt=f"{number:02}" + "x" * 990_000)
    fetched: list[int] = []
    for module in (versions, past):
        row_of = module.row_of

        def counted(row: Any, row_of: Any = row_of) -> Any:
            fetched.append(sum(len(column) for column in row if isinstance(column, bytes)))
            return row_of(row)

        monkeypatch.setattr(module, "row_of", counted)
    url = f"/api/projects/{project.id}/llm_prompts/?content=full&limit=1000&order_by=name"
    names: list[str] = []
    for query in ("", f"&position={await project.head()}"):
        names.clear()
        following: str | None = url + query
        while following:
            fetched.clear()
            answer = await project.client.get(following)
            assert len(answer.content) <= sizes.MAX_ANSWER
            assert sum(fetched) <= sizes.MAX_ANSWER
            assert len(fetched) <= 8
            names += [row["name"] for row in answer.json()["results"]]
            following = answer.json()["next"]
        assert names == [f"large-{number:02}" for number in range(20)]
