"""A publish over ClawHub's API looked for its files before its Idempotency-Key: a minute later the same request was refused."""

from tests.api.clawhub.test_publishing import SKILL_MD, V1, announce, send
from tests.support.space import Space, refusal


async def test_a_keyed_publish_is_known_when_its_files_have_gone(space: Space) -> None:
    file = await send(space, "SKILL.md", SKILL_MD)
    body = {"slug": "pdf-forms", "files": [file]}
    headers = {"Idempotency-Key": f"publish-{space.id}"}
    first = await space.at("POST", f"{V1}/skills", json=body, headers=headers)
    assert first.status_code == 200
    await space.conn.execute("DELETE FROM uploads WHERE project_id = %s", (space.id,))
    again = await space.at("POST", f"{V1}/skills", json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    # A key that came with another body is one of another request, whatever has become of the files of that.
    other = await space.at("POST", f"{V1}/skills", json={**body, "slug": "other"}, headers=headers)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")
    # What came without a key has to send its files.
    assert refusal(await space.at("POST", f"{V1}/skills", json=body))[:2] == (400, "does_not_exist")
    assert (await announce(space, "a.txt", b"a")).status_code == 200
