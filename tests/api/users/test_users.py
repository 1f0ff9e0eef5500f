"""The key's own user changes its name, role and project, and has a start page kept."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from api.users.schemas import MAX_SETTINGS_BYTES, MAX_TABS
from store.tables import identity
from tests.support.space import NewSpace, Space, refusal

ME = "/api/users/@me/"
HOME = "/api/user_home_settings/@me/"


@pytest_asyncio.fixture(loop_scope="session")
async def own(new_space: NewSpace) -> Space:
    return await new_space(scopes=("llm_skill:write", "user:write"))


async def test_a_new_name_is_shown_everywhere_at_once(own: Space) -> None:
    await own.create()
    first = await own.show()
    assert first["created_by"]["first_name"] == "Ada"
    answer = await own.at("PATCH", ME, json={"first_name": " Grace ", "last_name": "Hopper"})
    changed = await own.ok(200, answer)
    assert (changed["first_name"], changed["last_name"]) == ("Grace", "Hopper")
    assert int(answer.headers["x-event-position"]) == await own.head()
    assert (await own.ok(200, await own.at("GET", ME)))["first_name"] == "Grace"
    shown = await own.show()
    assert shown["created_by"]["first_name"] == shown["owners"][0]["first_name"] == "Grace"
    second = await own.publish("pdf-forms", 1, body="two")
    assert second["created_by"]["first_name"] == second["owners"][0]["first_name"] == "Grace"


async def test_the_log_names_no_one(own: Space) -> None:
    await own.at("PATCH", ME, json={"first_name": "Secret"})
    rows = await (
        await own.conn.execute("SELECT topic, state FROM events ORDER BY position DESC LIMIT 1")
    ).fetchall()
    assert [row[0] for row in rows] == ["user.changed"]
    assert b"Secret" not in rows[0][1]


async def test_what_stays_is_no_event(own: Space) -> None:
    before = await own.head()
    sent = {
        "first_name": "Ada",
        "email": own.user.email.upper(),
        "theme_mode": "dark",
        "notification_settings": {},
    }
    assert (await own.at("PATCH", ME, json=sent)).status_code == 200
    assert await own.head() == before


async def test_a_repeated_change_is_done_once(own: Space) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    sent = {"role_at_organization": "engineering"}
    first = await own.at("PATCH", ME, json=sent, headers=key)
    assert first.json()["role_at_organization"] == "engineering"
    before = await own.head()
    again = await own.at("PATCH", ME, json={"role_at_organization": "engineering"}, headers=key)
    assert (again.status_code, await own.head()) == (200, before)


@pytest.mark.parametrize("sent", [{}, {"role_at_organization": "engineering"}])
async def test_a_malformed_idempotency_key_is_refused(own: Space, sent: dict[str, str]) -> None:
    before = await own.head()
    answer = await own.at("PATCH", ME, json=sent, headers={"Idempotency-Key": "a key"})
    assert (answer.status_code, await own.head()) == (400, before)


async def test_the_current_project(own: Space) -> None:
    other = await identity.create_project(own.conn, "Other")
    _, secret = await identity.create_key(
        own.conn, email=own.user.email, scopes=["user:write"], project_ids=[own.id, other.id]
    )
    headers = {"Authorization": f"Bearer {secret}"}
    for project in (other.id, own.id):
        answer = await own.at("PATCH", ME, json={"set_current_team": str(project)}, headers=headers)
        assert (await own.ok(200, answer))["team"] == {"id": project}


@pytest.mark.parametrize(
    ("sent", "status", "code", "attr"),
    [
        ({"first_name": "x" * 151}, 400, "max_length", "first_name"),
        ({"last_name": "a\nb"}, 400, "not_printable", "last_name"),
        ({"first_name": None}, 400, "null", "first_name"),
        ({"email": "other@example.com"}, 400, "read_only", "email"),
        ({"password": "x"}, 400, "read_only", "password"),
        ({"role_at_organization": "boss"}, 400, "invalid_input", "role_at_organization"),
        ({"set_current_team": "x"}, 400, "invalid_input", "set_current_team"),
        ({"set_current_team": "999999999"}, 400, "invalid_input", "set_current_team"),
        ({"set_current_organization": "x"}, 400, "invalid_input", "set_current_organization"),
    ],
)
async def test_what_cannot_be_changed(own: Space, sent: Any, status: int, code: str, attr: str) -> None:
    before = await own.head()
    answer = await own.at("PATCH", ME, json={"last_name": "New", **sent})
    assert refusal(answer) == (status, code, attr)
    assert await own.head() == before


async def test_it_needs_the_scope_and_is_of_the_own_user(own: Space, new_space: NewSpace) -> None:
    reader = await new_space()
    for address in (ME, HOME):
        denied = await reader.at("PATCH", address, json={"first_name": 7})
        assert refusal(denied)[:2] == (403, "permission_denied")
        for uuid in (reader.user.uuid, "x"):
            other = await own.at("PATCH", address.replace("@me", str(uuid)), json={})
            assert refusal(other)[:2] == (404, "not_found")


async def test_the_start_page_is_kept(own: Space) -> None:
    empty: dict[str, Any] = {"tabs": [], "homepage": None}
    assert await own.ok(200, await own.at("GET", HOME)) == empty
    tabs = [{"pathname": "/a", "n": 1}]
    assert await own.ok(200, await own.at("PATCH", HOME, json={"tabs": tabs})) == {**empty, "tabs": tabs}
    page = {"pathname": "/b"}
    both = {"tabs": tabs, "homepage": page}
    assert await own.ok(200, await own.at("PATCH", HOME, json={"homepage": page})) == both
    assert await own.ok(200, await own.at("GET", f"/api/user_home_settings/{own.user.uuid}")) == both
    assert await own.ok(200, await own.at("PATCH", HOME, json={})) == both
    cleared = await own.ok(200, await own.at("PATCH", HOME, json={"homepage": None, "tabs": []}))
    assert cleared == empty


@pytest.mark.parametrize(
    ("sent", "code", "attr"),
    [
        ({"tabs": [{}] * (MAX_TABS + 1)}, "max_length", "tabs"),
        ({"tabs": ["x"]}, "invalid_input", "tabs__0"),
        ({"tabs": [{"x": "y" * MAX_SETTINGS_BYTES}]}, "max_size", "tabs"),
        ({"homepage": {"x": "y" * MAX_SETTINGS_BYTES}}, "max_size", "homepage"),
        ({"homepage": "x"}, "invalid_input", "homepage"),
        ({"homepage": {"x": "\0"}}, "null_characters_not_allowed", "homepage"),
    ],
)
async def test_what_no_start_page_is(own: Space, sent: Any, code: str, attr: str) -> None:
    assert refusal(await own.at("PATCH", HOME, json=sent)) == (400, code, attr)


async def test_an_erased_user_leaves_no_start_page(own: Space) -> None:
    await own.at("PATCH", HOME, json={"homepage": {"pathname": "/secret"}})
    await identity.erase_user(own.conn, own.user.email)
    rows = await own.conn.execute("SELECT count(*) FROM home_settings WHERE user_id = %s", (own.user.id,))
    assert await rows.fetchone() == (0,)
    for _ in range(100):
        if (await own.at("GET", HOME)).status_code == 401:
            break
        await asyncio.sleep(0.05)
    assert (await own.at("GET", HOME)).status_code == 401
