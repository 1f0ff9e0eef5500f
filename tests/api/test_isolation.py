"""Data of one project never shows in another (contract, section 6)."""

from tests.support.space import NewSpace, Space, file, refusal

SECRET = "aardvark"


async def test_nothing_of_another_project_is_seen_or_changed(new_space: NewSpace) -> None:
    one, two = await new_space(), await new_space()
    created = await one.create(SECRET, description=SECRET, body=SECRET, files=[file(SECRET, SECRET)])
    await one.show(SECRET)
    before = await one.head()

    answers = [
        await two.get(f"name/{SECRET}"),
        await two.get(f"name/{SECRET}?version=1"),
        await two.get(f"name/{created['id']}"),
        await two.get(f"name/{SECRET}/files/{SECRET}"),
        await two.get(f"resolve/name/{SECRET}"),
        await two.get(f"resolve/name/{SECRET}?version_id={created['id']}"),
        await two.patch(SECRET, {"base_version": 1}),
        await two.post(f"name/{SECRET}/archive"),
        await two.post(f"name/{SECRET}/duplicate", {"new_name": "copy"}),
        await two.post(f"name/{SECRET}/files", file("b")),
        await two.post(f"name/{SECRET}/files-rename", {"old_path": SECRET, "new_path": "b"}),
        await two.delete(f"name/{SECRET}/files/{SECRET}"),
        await two.get(f"name/{SECRET}s"),
    ]

    for answer in answers:
        assert refusal(answer)[:2] == (404, "not_found")
        assert answer.json()["suggestions"] == []
    assert await one.head() == before
    assert (await two.get("")).json()["count"] == 0
    for query in (f"search={SECRET}", f"created_by_id={one.user.id}"):
        assert (await two.get(f"?{query}")).json()["results"] == []


async def test_the_same_name_in_two_projects(new_space: NewSpace) -> None:
    one, two = await new_space(), await new_space()
    mine, theirs = await one.create(body="mine"), await two.create(body="theirs")

    for _ in range(2):
        assert await one.show() == mine
        assert await two.show() == theirs
    await one.publish("pdf-forms", 1, body="changed")
    assert await two.show() == theirs
    await one.post("name/pdf-forms/archive")
    assert await two.show() == theirs
    assert (await two.get(f"name/{mine['id']}")).status_code == 404
    resolved = await two.get(f"resolve/name/pdf-forms?version_id={mine['id']}")
    assert refusal(resolved)[:2] == (404, "version_not_found")


async def test_a_key_of_one_project_cannot_read_the_cache_of_another(new_space: NewSpace) -> None:
    one, two = await new_space(), await new_space()
    await one.create()
    await one.show()

    for prefix in ("projects", "environments"):
        answer = await two.at("GET", f"/api/{prefix}/{one.id}/llm_skills/name/pdf-forms")
        assert refusal(answer) == (403, "permission_denied", None)


async def test_the_cache_asks_for_the_scope_too(new_space: NewSpace, space: Space) -> None:
    await space.create()
    await space.show()
    stranger = await new_space(scopes=("llm_prompt:write",), user=space.user)

    answer = await stranger.at("GET", f"/api/projects/{space.id}/llm_skills/name/pdf-forms")

    assert answer.status_code == 403
