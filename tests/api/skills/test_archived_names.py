"""Archive, a new life under an old name, duplicates, and ids in place of names (contract, section 4)."""

import pytest

from tests.support.space import Space, file, refusal, skill


async def test_an_archived_skill_leaves_all_reads_at_once(space: Space) -> None:
    created = await space.create(files=[file("a")])
    await space.publish("pdf-forms", 1)
    await space.create("pdf-form")
    await space.show()

    await space.post("name/pdf-forms/archive")

    for path in (
        "name/pdf-forms",
        "name/pdf-forms?version=1",
        "name/pdf-forms?body_offset=0",
        "name/pdf-forms/files/a",
        "name/pdf-forms/files/a?version=1",
        "resolve/name/pdf-forms",
        f"resolve/name/pdf-forms?version_id={created['id']}",
        f"name/{created['id']}",
    ):
        answer = await space.get(path)
        assert refusal(answer) == (404, "not_found", None), path
        assert "pdf-forms" not in answer.json()["suggestions"]
    assert await space.names() == ["pdf-form"]
    for answer in (
        await space.patch("pdf-forms", {"base_version": 2}),
        await space.post("name/pdf-forms/archive"),
        await space.post("name/pdf-forms/duplicate", {"new_name": "x"}),
        await space.post("name/pdf-forms/files", file("b")),
        await space.delete("name/pdf-forms/files/a"),
    ):
        assert refusal(answer)[:2] == (404, "not_found")


async def test_a_new_skill_under_an_archived_name_starts_anew(space: Space) -> None:
    first = await space.create(files=[file("old")], metadata={"old": 1})
    await space.publish("pdf-forms", 1, body="two")
    await space.post("name/pdf-forms/archive")

    second = await space.create(body="again")

    assert (second["version"], second["latest_version"], second["version_count"]) == (1, 1, 1)
    assert second["first_version_created_at"] == second["created_at"] > first["created_at"]
    assert (second["files"], second["metadata"]) == ([], {})
    assert await space.show() == second == await space.show(version=1)
    assert refusal(await space.get("name/pdf-forms?version=2"))[1] == "version_not_found"
    assert (await space.get("name/pdf-forms/files/old")).status_code == 404
    lines = (await space.get("resolve/name/pdf-forms")).json()["versions"]
    assert [line["id"] for line in lines] == [second["id"]]
    assert (await space.publish("pdf-forms", 1, body="more"))["version"] == 2
    assert (await space.get(f"resolve/name/pdf-forms?version_id={first['id']}")).status_code == 404
    assert (await space.get(f"name/{first['id']}")).status_code == 404


async def test_many_lives_of_one_name(space: Space) -> None:
    for life in range(4):
        await space.create(description=f"life {life}")
        assert await space.names(search=f"life {life}") == ["pdf-forms"]
        assert (await space.post("name/pdf-forms/archive")).status_code == 204
        assert (await space.get("")).json()["count"] == 0


async def test_the_name_of_an_archived_skill_is_free_for_a_duplicate(space: Space) -> None:
    await space.create("source")
    await space.create("target", body="other")
    await space.post("name/target/archive")

    copy = await space.ok(201, await space.post("name/source/duplicate", {"new_name": "target"}))

    assert (copy["version"], copy["body"]) == (1, (await space.show("source"))["body"])


async def test_a_duplicate_outlives_its_source(space: Space) -> None:
    await space.create(files=[file("a", "kept")])
    await space.post("name/pdf-forms/duplicate", {"new_name": "copy"})
    await space.post("name/pdf-forms/archive")

    assert (await space.get("name/copy/files/a")).json()["content"] == "kept"
    assert (await space.publish("copy", 1, edits=[{"old": "Read", "new": "Look at"}]))["version"] == 2


async def test_the_id_of_a_version_leads_to_the_name(space: Space) -> None:
    first = await space.create()
    second = await space.publish("pdf-forms", 1)

    for version_id in (first["id"], second["id"], second["id"].upper()):
        for slash in ("", "/"):
            for prefix in ("environments", "projects"):
                answer = await space.at(
                    "GET", f"/api/{prefix}/{space.id}/llm_skills/name/{version_id}{slash}"
                )
                assert answer.status_code == 302
                assert (
                    answer.headers["location"] == f"/api/{prefix}/{space.id}/llm_skills/name/pdf-forms{slash}"
                )
    answer = await space.get(f"name/{first['id']}?version=1&x=y")
    assert answer.headers["location"].endswith("/name/pdf-forms?version=1&x=y")


async def test_a_skill_whose_name_is_an_id_is_itself(space: Space) -> None:
    created = await space.create()
    named = await space.create(created["id"])

    shown = await space.show(created["id"])

    assert shown == named


@pytest.mark.parametrize("odd", ["00000000-0000-0000-0000-000000000000", "{" + "0" * 34 + "}", "-" * 36])
async def test_an_id_that_nothing_has(space: Space, odd: str) -> None:
    await space.create()

    assert refusal(await space.get(f"name/{odd}"))[:2] == (404, "not_found")


async def test_a_failed_create_leaves_the_name_free(space: Space) -> None:
    assert (await space.post(json=skill(body=""))).status_code == 400
    assert (await space.create())["version"] == 1
