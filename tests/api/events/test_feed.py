"""The feed by page and long poll: order, completeness, filters, forms, waiting, and who may read it."""

import asyncio
import json
from itertools import pairwise
from time import perf_counter
from typing import Any

import jsonschema_rs
import pytest

from api.cache.log_follower import POLL
from store.tables import identity
from tests.support.prompt_space import PromptSpace
from tests.support.space import NewSpace, Space, file, refusal
from tests.unit.projections.events.test_cloudevents import VALID

SCOPES = ("llm_skill:write", "llm_prompt:write", "event:read")
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"


@pytest.fixture
async def feed(new_space: NewSpace) -> Space:
    """A project whose key may write and read the feed."""
    return await new_space(scopes=SCOPES)


async def page(space: Space, **query: Any) -> dict[str, Any]:
    return await space.ok(200, await space.at("GET", "events/", params=query))


async def everything(space: Space, **query: Any) -> list[dict[str, Any]]:
    """All events by ``next`` from page to page, until one is empty."""
    events = []
    found = await page(space, **query)
    while found["results"]:
        events += found["results"]
        found = await space.ok(200, await space.client.get(found["next"]))
    return events


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["position"] for event in events]


async def some_history(space: Space) -> list[int]:
    """Events of every type on skills and prompts; their positions."""
    prompts = PromptSpace(space)
    start = await space.head()
    await space.create(files=[file("a.txt", "the content of a file")])
    await space.publish("pdf-forms", 1, body="# Secret body\n")
    await space.post("name/pdf-forms/files", json=file("b.txt"))
    await space.post("name/pdf-forms/files-rename", json={"old_path": "b.txt", "new_path": "c.txt"})
    await space.delete("name/pdf-forms/files/c.txt")
    await space.post("name/pdf-forms/duplicate", json={"new_name": "copy"})
    await space.post("name/pdf-forms/archive")
    await space.post("name/pdf-forms/restore")
    await prompts.create("Agent_1", "Secret prompt")
    await prompts.publish(1, "Agent_1", prompt="Another secret prompt")
    await prompts.set_label("prod", 2, "Agent_1")
    await prompts.delete("prod", "Agent_1")
    await prompts.post("name/Agent_1/archive")
    await prompts.post("name/Agent_1/restore")
    return list(range(start + 1, await space.head() + 1))


async def test_every_event_comes_once_and_in_order_whatever_the_page(feed: Space) -> None:
    positions = await some_history(feed)
    assert len(positions) == 14
    for limit in (1, 3, 14, 1000, 5000):
        assert numbers(await everything(feed, limit=limit)) == positions
    middle = positions[6]
    assert numbers(await everything(feed, after=middle)) == positions[7:]


async def test_events_are_cloudevents_and_their_data_is_as_the_served_schema_says(feed: Space) -> None:
    await some_history(feed)
    events = await everything(feed)
    for event in events:
        VALID.validate(event)
        schema = (await feed.client.get(event["dataschema"], headers={"Authorization": ""})).json()
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(event["data"])
        assert event["source"] == f"/api/projects/{feed.id}"
        assert event["actor"] == feed.user.id
        assert event["id"] == str(event["position"])
    assert "ecret" not in json.dumps(events)
    assert "content of a file" not in json.dumps(events)


async def test_links_of_an_event_lead_to_what_it_is_about(feed: Space) -> None:
    await feed.create()
    await feed.publish("pdf-forms", 1, body="# Two\n")
    for number, event in enumerate(await everything(feed), 1):
        links = event["data"]["links"]
        assert (await feed.client.get(links["self"])).json()["version"] == 2
        assert (await feed.client.get(links["version"])).json()["version"] == number


async def test_the_request_and_its_events_share_an_id(feed: Space) -> None:
    answer = await feed.post(
        json={"name": "a", "description": "d", "body": "b"}, headers={"X-Request-Id": "req-7"}
    )
    [event] = await everything(feed)
    assert event["correlationid"] == "req-7"
    assert str(event["position"]) == answer.headers["x-event-position"]


async def test_next_is_there_on_an_empty_page_too(feed: Space) -> None:
    head = await feed.head()
    empty = await page(feed)
    assert (empty["results"], empty["position"]) == ([], head)
    assert empty["next"].endswith(f"/api/projects/{feed.id}/events/?after={head}")
    await feed.create()
    assert len((await feed.client.get(empty["next"])).json()["results"]) == 1


async def test_next_keeps_the_filters(feed: Space) -> None:
    found = await page(feed, subject="skill/a", type="skald.skill.created.v1", limit=7, wait=0)
    for part in ("subject=skill%2Fa", "type=skald.skill.created.v1", "limit=7"):
        assert part in found["next"]


async def test_filters_by_type(feed: Space) -> None:
    await some_history(feed)
    all_events = await everything(feed)
    for wanted in (
        "skald.skill.created.v1",
        "skald.prompt.label_set.v1",
        "skald.skill.archived.v1, skald.prompt.archived.v1",
    ):
        types = {name.strip() for name in wanted.split(",")}
        found = await everything(feed, type=wanted, limit=1)
        assert found == [event for event in all_events if event["type"] in types] != []


async def test_a_subject_has_all_lives_of_its_name(feed: Space) -> None:
    await feed.create()
    await feed.create("other")
    await feed.post("name/pdf-forms/archive")
    await feed.create()
    await PromptSpace(feed).create("pdf-forms")
    found = await everything(feed, subject="skill/pdf-forms", limit=1)
    assert [event["type"].split(".")[2] for event in found] == ["created", "archived", "created"]
    assert len({event["data"]["stream_id"] for event in found}) == 2
    assert len(await everything(feed, subject="prompt/pdf-forms")) == 1
    assert await everything(feed, subject="skill/nobody") == []
    assert await everything(feed, subject="skill/%00") == []


async def test_a_filtered_reader_does_not_read_the_same_again(feed: Space) -> None:
    await feed.create()
    await feed.create("other")
    found = await page(feed, subject="skill/pdf-forms", limit=5)
    assert len(found["results"]) == 1
    assert found["position"] == await feed.head()


async def test_forms_of_the_answer(feed: Space) -> None:
    await some_history(feed)
    events = await everything(feed)
    batch = await feed.at("GET", "events/", headers={"Accept": BATCH})
    assert batch.headers["content-type"].startswith(BATCH)
    assert batch.json() == events
    lines = await feed.at("GET", "events/", headers={"Accept": NDJSON})
    assert lines.headers["content-type"].startswith(NDJSON)
    assert [json.loads(line) for line in lines.text.splitlines()] == events
    for answer in (batch, lines):
        following = answer.links["next"]["url"]
        assert (await feed.client.get(following)).json()["results"] == []


@pytest.mark.parametrize("accept", ["application/json", BATCH, NDJSON])
async def test_an_answer_that_the_reader_has_is_not_sent_again(feed: Space, accept: str) -> None:
    await feed.create()
    first = await feed.at("GET", "events/", headers={"Accept": accept})
    again = await feed.at(
        "GET", "events/", headers={"Accept": accept, "If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    await feed.publish("pdf-forms", 1, body="# Two\n")
    changed = await feed.at(
        "GET", "events/", headers={"Accept": accept, "If-None-Match": first.headers["etag"]}
    )
    assert changed.status_code == 200


async def test_both_prefixes_and_the_current_project(feed: Space) -> None:
    await feed.create()
    for address in (
        f"/api/environments/{feed.id}/events",
        f"/api/projects/{feed.id}/events/",
        "/api/projects/@current/events",
    ):
        assert len((await feed.at("GET", address)).json()["results"]) == 1


# Waiting ---------------------------------------------------------------------------------------------------------


async def test_a_waiting_reader_is_woken_at_once(feed: Space) -> None:
    found = []
    for number in range(5):
        waiting = asyncio.create_task(page(feed, after=await feed.head(), wait=20))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await feed.create(f"skill-{number}")
        assert len((await waiting)["results"]) == 1
        found.append(perf_counter())
    # Each that the poll finds comes a whole turn of it after the one before.
    turn = min(after - before for before, after in pairwise(found))
    assert turn < POLL * 0.9, "it was the poll that found them"


async def test_a_wait_without_news_ends_in_an_empty_page(feed: Space) -> None:
    started = perf_counter()
    found = await page(feed, after=await feed.head(), wait=1)
    assert 0.95 < perf_counter() - started < 15, (
        "it waited for as long as a wait may be, not for the one asked for"
    )
    assert found["results"] == []


async def test_what_is_there_already_is_not_waited_for(feed: Space) -> None:
    await feed.create()
    started = perf_counter()
    assert len((await page(feed, wait=30))["results"]) == 1
    assert perf_counter() - started < 15


async def test_news_of_others_and_of_other_types_do_not_end_a_wait(feed: Space, new_space: NewSpace) -> None:
    other = await new_space()
    waiting = asyncio.create_task(page(feed, after=await feed.head(), wait=2, type="skald.skill.archived.v1"))
    await other.create()
    await feed.create()
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await feed.post("name/pdf-forms/archive")
    found = await asyncio.wait_for(waiting, 5)
    assert [event["type"] for event in found["results"]] == ["skald.skill.archived.v1"]


# Who may, and what is refused ------------------------------------------------------------------------------------


async def test_no_event_of_another_project_or_of_no_project(feed: Space, new_space: NewSpace) -> None:
    other = await new_space(scopes=SCOPES)
    start = await feed.head()
    await other.create()
    await feed.create("mine")
    await identity.create_key(feed.conn, email=feed.user.email, scopes=["*"], project_ids=[feed.id])
    assert [event["subject"] for event in await everything(feed, after=start)] == ["skill/mine"]
    assert [event["subject"] for event in await everything(other)] == ["skill/pdf-forms"]
    assert await everything(feed, subject="skill/pdf-forms") == []
    assert (await feed.at("GET", f"/api/projects/{other.id}/events/")).status_code == 403
    stream = await feed.at("GET", f"/api/projects/{other.id}/events/stream")
    assert stream.status_code == 403


@pytest.mark.parametrize("path", ["events/", "events/stream"])
async def test_the_feed_needs_its_own_scope(new_space: NewSpace, path: str) -> None:
    space = await new_space(scopes=("llm_skill:write", "llm_prompt:write", "webhook:write"))
    answer = await space.at("GET", path)
    assert refusal(answer)[:2] == (403, "permission_denied")
    assert "required scope 'event:read'" in answer.json()["detail"]
    nobody = await space.at("GET", path, headers={"Authorization": ""})
    assert nobody.status_code == 401


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"after": "-1"}, "min_value"),
        ({"after": "x"}, "invalid_input"),
        ({"after": "9" * 30}, "max_value"),
        ({"limit": "0"}, "min_value"),
        ({"limit": "ten"}, "invalid_input"),
        ({"wait": "31"}, "max_value"),
        ({"wait": "-1"}, "min_value"),
        ({"wait": "1.5"}, "invalid_input"),
        ({"type": "skill.created"}, "invalid_input"),
        ({"type": "skald.skill.created.v1,"}, "invalid_input"),
        ({"type": "skald.key.created.v1"}, "invalid_input"),
        ({"subject": "pdf-forms"}, "invalid_input"),
        ({"subject": "skill/"}, "invalid_input"),
        ({"subject": "webhook/x"}, "invalid_input"),
    ],
)
async def test_bad_values_are_refused_and_named(feed: Space, query: dict[str, str], code: str) -> None:
    assert refusal(await feed.at("GET", "events/", params=query)) == (400, code, next(iter(query)))


@pytest.mark.parametrize("value", ["x", "-1", "1.0", "9" * 19, "²"])
async def test_a_last_event_id_that_is_no_position_is_refused(feed: Space, value: str) -> None:
    answer = await feed.at("GET", "events/stream", headers={"Last-Event-ID": value.encode("latin-1")})
    assert refusal(answer) == (400, "invalid_input", "Last-Event-ID")


async def test_an_empty_parameter_counts_as_absent(feed: Space) -> None:
    await feed.create()
    assert len((await page(feed, after="", limit="", type="", subject="", wait=""))["results"]) == 1


async def test_a_schema_that_does_not_exist_and_one_that_does(feed: Space) -> None:
    anybody = {"Authorization": ""}
    missing = await feed.at("GET", "/schema/events/skald.skill.sold.v1.json", headers=anybody)
    assert refusal(missing)[:2] == (404, "not_found")
    found = await feed.at("GET", "/schema/events/skald.skill.created.v1.json", headers=anybody)
    assert found.json()["title"] == "skald.skill.created.v1"
    jsonschema_rs.meta.validate(found.json())
