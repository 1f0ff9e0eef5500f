"""People write `skill.published`, a mail address, a raw plus, a date; each works or gets the sentence that helps."""

from typing import Any

import pytest

from api.http.query import Query, parse_instant
from domain.content import Edit, apply_edits
from domain.errors import EditFailed, Invalid
from projections.events import audit
from projections.events.cloudevents import feed_topics, no_type
from tests.support.space import NewSpace


@pytest.mark.parametrize(
    "type_", ["skill.published", "skald.skill.publishd.v1", "skill.publish", "skald.skill.published"]
)
def test_an_unknown_type_gets_the_nearest(type_: str) -> None:
    assert "'skald.skill.published.v1'?" in no_type(type_, feed_topics())
    assert "'skald.share.created.v1'?" in no_type("share.created", audit.topics())
    assert "is one." in no_type("?", audit.topics())


@pytest.mark.parametrize("zone", ["+09:30", "+02:00"])
def test_a_raw_plus_gets_a_hint(zone: str) -> None:
    text = Query(f"as_of=2026-03-03T09:30:00{zone}".encode()).text("as_of") or ""
    with pytest.raises(Invalid, match="%2B") as refused:
        parse_instant(text)
    assert f"2026-03-03T09:30:00%2B{zone[1:]}" in refused.value.detail


def test_a_date_is_the_start_of_its_day_in_utc() -> None:
    assert parse_instant("2026-03-03").isoformat() == "2026-03-03T00:00:00+00:00"
    for wrong in ("2026-02-30", "2026-03", "2026-03-03T09:30", "2026-03-03 09:30"):
        with pytest.raises(Invalid, match="or a date"):
            parse_instant(wrong)


@pytest.mark.parametrize(("text", "old"), [("a\r\nb\r\n", "a\nb"), ("a\nb\n", "a\r\nb")])
def test_an_edit_with_other_line_ends_says_so(text: str, old: str) -> None:
    with pytest.raises(EditFailed, match="CRLF"):
        apply_edits(text, [Edit(old=old, new="c")], attr="edits")
    with pytest.raises(EditFailed, match="copy it"):
        apply_edits(text, [Edit(old="q", new="c")], attr="edits")


async def test_an_actor_is_found_by_mail_and_by_name(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "event:read"))
    await space.create()
    # The people of other tests, who are in the same database, are called otherwise.
    await space.conn.execute(
        "UPDATE users SET last_name = %s WHERE id = %s", (f"Only-{space.id}", space.user.id)
    )
    [(user, mail, first, last)] = await (
        await space.conn.execute(
            "SELECT id, email, first_name, last_name FROM users WHERE id = "
            "(SELECT actor_id FROM events WHERE project_id = %s AND actor_id IS NOT NULL LIMIT 1)",
            (space.id,),
        )
    ).fetchall()
    url = f"/api/projects/{space.id}/audit/"

    async def asked(actor: Any) -> Any:
        return await space.client.get(url, params={"actor": actor})

    [entry] = [
        one for one in (await asked(user)).json()["results"] if one["type"] == "skald.skill.created.v1"
    ]
    called = [mail, mail.upper(), *([f"{first} {last}".strip()] if first else [])]
    for actor in called:
        assert entry in (await asked(actor)).json()["results"], actor
    other = await asked("stranger@example.com")
    assert (other.status_code, other.json()["code"]) == (404, "not_found")
