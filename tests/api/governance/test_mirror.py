"""A mirror is written to by one key alone, by whatever door another comes; and where that is seen."""

import pytest

from tests.support.governing import with_scopes
from tests.support.space import NewSpace, Space, refusal, skill

SOURCE = "Skald at https://skald.example.com, project 1"


async def mirrored(new_space: NewSpace) -> Space:
    """Its key has made the project a mirror with a skill and a prompt."""
    space = await new_space(scopes=("*",))
    made = await space.at("PUT", "mirror/", json={"source": f" {SOURCE} "})
    assert made.status_code == 201
    assert list(made.json()) == ["source", "key_id", "begun_by", "begun_at"]
    assert (made.json()["source"], made.json()["begun_by"]["id"]) == (SOURCE, space.user.id)
    assert int(made.headers["x-event-position"]) == await space.head()
    await space.ok(201, await space.at("POST", "llm_skills/", json=skill("one")))
    await space.ok(201, await space.at("POST", "llm_prompts/", json={"name": "Ask", "prompt": "Hi"}))
    return space


WRITES = [
    ("POST", "llm_skills/", skill("two")),
    ("PATCH", "llm_skills/name/one", {"body": "# More", "base_version": 1}),
    ("PATCH", "llm_skills/name/one", {"tags": ["a"]}),
    ("POST", "llm_skills/name/one/files", {"path": "a", "content": ""}),
    ("POST", "llm_skills/name/one/rename", {"new_name": "three"}),
    ("POST", "llm_skills/name/one/duplicate", {"new_name": "three"}),
    ("POST", "llm_skills/name/one/archive", {}),
    ("PUT", "llm_skills/name/one/labels/stable", {"version": 1}),
    ("POST", "llm_skills/name/one/promotions", {"label": "stable", "version": 1}),
    ("POST", "llm_skills/name/gone/restore", {}),
    ("PATCH", "llm_prompts/name/Ask", {"prompt": "Ho", "base_version": 1}),
    ("DELETE", "llm_prompts/name/Ask/labels/stable", None),
    ("PUT", "label-policies/stable", {"protected": True}),
]


async def test_no_other_key_writes_until_it_ends(new_space: NewSpace) -> None:
    importer = await mirrored(new_space)
    other = await with_scopes(importer, ("*",))
    head = await importer.head()
    for method, path, body in WRITES:
        answer = await other.at(method, path, json=body)
        assert refusal(answer)[:2] == (403, "mirror"), (method, path)
        assert SOURCE in answer.json()["detail"]
    assert await importer.head() == head
    assert (await other.get("name/one")).status_code == 200
    method, path, body = WRITES[1]
    assert (await importer.at(method, path, json=body)).status_code == 200

    assert (await other.at("DELETE", "mirror/")).status_code == 204
    assert refusal(await other.at("DELETE", "mirror/"))[:2] == (404, "not_found")
    assert refusal(await other.at("GET", "mirror/"))[:2] == (404, "not_found")
    assert (await other.at("POST", "llm_skills/", json=skill("two"))).status_code == 201


async def test_the_scope_comes_first_and_other_projects_are_none(new_space: NewSpace) -> None:
    importer = await mirrored(new_space)
    writer = await with_scopes(importer, ("llm_skill:write", "llm_prompt:write"))
    for method in ("GET", "PUT", "DELETE"):
        answer = await writer.at(method, "mirror/", json={"source": ""} if method == "PUT" else None)
        assert refusal(answer)[:2] == (403, "permission_denied")
        assert "project:admin" in answer.json()["detail"]
    elsewhere = await new_space(scopes=("*",))
    assert (await elsewhere.at("GET", "mirror/")).status_code == 404
    assert (await elsewhere.at("POST", "llm_skills/", json=skill("one"))).status_code == 201


async def test_another_key_takes_over_and_the_same_changes_nothing(new_space: NewSpace) -> None:
    importer = await mirrored(new_space)
    head = await importer.head()
    assert (await importer.at("PUT", "mirror/", json={"source": SOURCE})).status_code == 200
    assert await importer.head() == head
    other = await with_scopes(importer, ("*",))
    assert (await other.at("PUT", "mirror/", json={"source": SOURCE})).status_code == 200
    method, path, body = WRITES[1]
    assert refusal(await importer.at(method, path, json=body))[:2] == (403, "mirror")
    assert (await other.at(method, path, json=body)).status_code == 200


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", "blank"),
        (" ", "blank"),
        (None, "null"),
        ("x" * 501, "max_length"),
        ("a\0", "null_characters_not_allowed"),
    ],
)
async def test_what_it_follows_is_a_line(new_space: NewSpace, source: str | None, code: str) -> None:
    importer = await mirrored(new_space)
    answer = await importer.at("PUT", "mirror/", json={"source": source})
    assert refusal(answer)[:3] == (400, code, "source")


async def test_it_is_in_feed_audit_and_past(new_space: NewSpace) -> None:
    importer = await mirrored(new_space)
    assert (await importer.at("DELETE", "mirror/")).status_code == 204
    subject = f"mirror/{importer.id}"
    feed = (await importer.at("GET", "events/", params={"subject": subject})).json()["results"]
    assert [event["type"] for event in feed] == ["skald.mirror.begun.v1", "skald.mirror.ended.v1"]
    assert (feed[0]["subject"], feed[0]["data"]["source"]) == (subject, SOURCE)
    assert feed[0]["data"]["links"]["self"] == f"/api/projects/{importer.id}/mirror/"
    audit = (await importer.at("GET", "audit/", params={"subject": subject})).json()["results"]
    assert [entry["position"] for entry in audit] == [event["position"] for event in feed]
    then = await importer.at("GET", "mirror/", params={"position": feed[0]["position"]})
    assert (then.status_code, then.json()["source"]) == (200, SOURCE)
    assert (await importer.at("GET", "events/", params={"subject": "mirror/0"})).json()["results"] == []
