"""Publishes of a project counted by day, author and name, as far as the key may read and the projection has come."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from api.artifacts import waiting as waits
from projections.declared import ACTIVITY
from store.tables import identity
from tests.support.following import following
from tests.support.space import NewSpace, Space, refusal
from workers.projections import ProjectionFollower


@pytest_asyncio.fixture(loop_scope="session")
async def counting(app: Any, postgres_url: str) -> AsyncIterator[None]:
    """A follower keeps the projection while the test runs."""
    async with following(postgres_url, lambda news: ProjectionFollower(news, ACTIVITY)):
        yield


async def activity(space: Space, **query: Any) -> dict[str, Any]:
    query.setdefault("after", await space.head())
    return await space.ok(200, await space.at("GET", "activity/", params=query))


def keys(answer: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in (*names, "publishes")) for row in answer["rows"]]


async def test_given_publishes_when_asked_by_day_author_and_name_then_all_are_counted(
    counting: None, space: Space
) -> None:
    await space.create("one")
    await space.publish("one", 1, body="# Two\n")
    await space.create("two")
    await space.post("name/two/archive")
    today = datetime.now(UTC).date().isoformat()

    by_day, by_author, by_name = [await activity(space, by=by) for by in ("day", "author", "name")]

    assert keys(by_day, "day") == [(today, 3)]
    assert keys(by_author, "author") == [(space.user.id, 3)]
    assert keys(by_name, "kind", "name") == [("skill", "one", 2), ("skill", "two", 1)], (
        "archived ones happened"
    )
    for answer in (by_day, by_author, by_name):
        assert list(answer) == ["total", "rows", "truncated", "position"]
        assert (answer["total"], answer["truncated"]) == (3, False)
        assert answer["position"] >= await space.head()
    assert list(by_name["rows"][0]) == ["kind", "name", "publishes", "first_at", "last_at"]
    assert by_name["rows"][0]["first_at"] < by_name["rows"][0]["last_at"]
    assert await activity(space) == by_day, "by day unless it says otherwise"


async def test_given_both_kinds_when_a_key_reads_one_then_only_that_is_counted(
    counting: None, new_space: NewSpace
) -> None:
    space = await new_space(scopes=("llm_skill:write", "llm_prompt:write"))
    await space.create("one")
    await space.at("POST", "llm_prompts/", json={"name": "one", "prompt": "Hi"})
    assert keys(await activity(space, by="name"), "kind", "name") == [
        ("prompt", "one", 1),
        ("skill", "one", 1),
    ]
    for scopes, kind in ((("llm_skill:read",), "skill"), (("llm_prompt:read",), "prompt")):
        _, key = await identity.create_key(
            space.conn, email=space.user.email, scopes=scopes, project_ids=[space.id]
        )
        space.client.headers["Authorization"] = f"Bearer {key}"
        answer = await activity(space, by="name")
        assert (keys(answer, "kind", "name"), answer["total"]) == ([(kind, "one", 1)], 1)


async def test_a_key_that_reads_no_kind_is_refused(new_space: NewSpace) -> None:
    space = await new_space(scopes=("event:read",))
    answer = await space.at("GET", "activity/")
    assert refusal(answer)[:2] == (403, "permission_denied")
    assert "'llm_skill:read' or 'llm_prompt:read'" in answer.json()["detail"]


async def test_nothing_of_another_project_is_counted(
    counting: None, space: Space, new_space: NewSpace
) -> None:
    other = await new_space()
    await other.create("secret")
    for by in ("day", "author", "name"):
        assert (await activity(space, by=by))["rows"] == []
    assert refusal(await space.at("GET", f"/api/projects/{other.id}/activity/"))[0] == 403
    assert keys(await activity(other, by="name"), "name") == [("secret", 1)]


async def test_given_an_erased_user_then_the_author_is_null(
    counting: None, space: Space, new_space: NewSpace
) -> None:
    gone = await identity.create_user(space.conn, email=f"gone-{space.id}@example.com")
    _, key = await identity.create_key(
        space.conn, email=gone.email, scopes=("llm_skill:write",), project_ids=[space.id]
    )
    await space.create("one")
    await space.post(
        json={"name": "two", "description": "d", "body": "b"}, headers={"Authorization": f"Bearer {key}"}
    )
    assert sorted(keys(await activity(space, by="author"), "author")) == [(space.user.id, 1), (gone.id, 1)]
    await identity.erase_user(space.conn, email=gone.email)
    assert set(keys(await activity(space, by="author"), "author")) == {(space.user.id, 1), (None, 1)}


async def test_given_a_period_then_only_its_days_are_counted(counting: None, space: Space) -> None:
    await space.create("one")
    today = datetime.now(UTC)
    for period, total in (
        ({"from": today.date().isoformat()}, 1),
        ({"to": today.isoformat(timespec="seconds")}, 1),
        ({"to": (today - timedelta(days=1)).date().isoformat()}, 0),
        ({"from": (today + timedelta(days=1)).date().isoformat(), "to": "9999-12-31"}, 0),
        ({"from": "0001-01-01", "to": "9999-12-31"}, 1),
        ({"to": "0001-01-02"}, 0),
        ({"from": "0001-01-01T00:00:00+23:00", "to": "9999-12-31T23:59:59-23:00"}, 1),
    ):
        assert (await activity(space, **period))["total"] == total, period


@pytest.mark.parametrize(
    ("query", "attr", "code"),
    [
        ({"from": "yesterday"}, "from", "invalid_input"),
        ({"to": "2026-02-30"}, "to", "invalid_input"),
        ({"to": "2026-03-03T10:00:00"}, "to", "invalid_input"),
        ({"to": "2026-W10-12"}, "to", "invalid_input"),
        ({"from": "2026-03-03", "to": "2026-03-02"}, "from", "invalid_range"),
        ({"by": "week"}, "by", "invalid_input"),
        ({"after": "-1"}, "after", "min_value"),
    ],
)
async def test_what_is_no_period_is_refused(
    space: Space, query: dict[str, str], attr: str, code: str
) -> None:
    assert refusal(await space.at("GET", "activity/", params=query)) == (400, code, attr)


async def test_an_unchanged_answer_is_not_sent_again(space: Space) -> None:
    first = await space.at("GET", "activity/?from=2001-01-01&to=2001-01-01")
    again = await space.at(
        "GET", "activity/?from=2001-01-01&to=2001-01-01", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


async def test_after_waits_until_the_projection_is_there(
    space: Space, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "MAX_WAIT", 60.0)
    await space.create("one")
    waiting = [asyncio.create_task(activity(space)) for _ in range(5)]
    done, _ = await asyncio.wait(waiting, timeout=0.3)
    assert not done, "nothing counts yet"
    async with following(postgres_url, lambda news: ProjectionFollower(news, ACTIVITY)):
        assert [answer["total"] for answer in await asyncio.gather(*waiting)] == [1] * 5


async def test_after_gives_up_in_time(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "MAX_WAIT", 0.1)
    await space.create()
    # No follower runs here, and other tests' projections are not this far.
    answer = await space.at("GET", f"activity/?after={await space.head()}")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_what_the_log_does_not_have_is_not_waited_for(space: Space) -> None:
    answer = await space.at("GET", f"activity/?after={await space.head() + 1000}")
    assert refusal(answer) == (400, "max_value", "after")


async def test_given_labels_archives_and_restores_then_nothing_more_is_counted(
    counting: None, new_space: NewSpace
) -> None:
    space = await new_space(scopes=("llm_prompt:write",))
    await space.at("POST", "llm_prompts/", json={"name": "p", "prompt": "Hi"})
    await space.at("PUT", "llm_prompts/name/p/labels/production", json={"version": 1})
    await space.at("POST", "llm_prompts/name/p/archive/")
    await space.at("POST", "llm_prompts/name/p/restore/")
    assert keys(await activity(space, by="name"), "kind", "name") == [("prompt", "p", 1)]
