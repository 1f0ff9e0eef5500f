"""What is yanked is passed over by every way to install."""

import io
import zipfile

from tests.support.space import NewSpace, file


async def test_shares_and_archives_pass_over_it(new_space: NewSpace) -> None:
    space = await new_space(scopes=("*",))
    await space.create("one", body="# Old\n", files=[file("a.txt", "1")])
    await space.publish("one", 1, body="# Bad\n")
    await space.create("plain", body="# Plain\n")
    await space.set_label("live", 2, "one")
    await space.set_label("live", 1, "plain")
    shares = [
        (await space.ok(201, await space.post("shares/", fields)))["url"].partition("//")[2].partition("/")[2]
        for fields in ({}, {"serve_label": "live"})
    ]

    async def index(share: str) -> dict[str, str]:
        found = await space.ok(200, await space.client.get(f"/{share}/.well-known/agent-skills/index.json"))
        return {one["name"]: one["url"] for one in found["skills"]}

    async def text(share: str, url: str) -> str:
        answer = await space.client.get(f"/{share}/.well-known/agent-skills/{url}")
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return archive.read("SKILL.md").decode()

    every, labelled = shares
    bad = (await index(every))["one"]
    assert "# Bad" in await text(every, bad)
    assert (await index(labelled)).keys() == {"one", "plain"}

    await space.ok(200, await space.post("name/one/versions/2/yank", {"reason": "x"}))
    old = (await index(every))["one"]
    assert old != bad
    assert "# Old" in await text(every, old)
    assert "# Old" in await text(every, "one.zip")
    assert (await index(labelled)).keys() == {"plain"}
    assert (await space.client.get(f"/{labelled}/.well-known/agent-skills/one.zip")).status_code == 404
    bundle = await space.get("bundle", params={"content": "full"})
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        assert "# Old" in archive.read("one/SKILL.md").decode()
    versions = await space.client.get(f"/{every}/apm/v1/packages/skald/one/versions")
    assert [one["version"] for one in versions.json()["versions"]] == ["1.0.1"]

    await space.ok(200, await space.post("name/one/versions/2/unyank"))
    assert (await index(every))["one"] == bad
    assert (await index(labelled)).keys() == {"one", "plain"}


async def test_every_exact_read_says_it(new_space: NewSpace) -> None:
    space = await new_space(scopes=("*",))
    await space.create("one", body="# Old\n", files=[file("a.txt", "1")])
    bad = await space.publish("one", 1, body="# Bad\n")
    share = (await space.ok(201, await space.post("shares/", {})))["url"].partition("//")[2].partition("/")[2]
    skills = f"/api/projects/{space.id}/llm_skills/name/one"
    version_id = bad["id"]
    exact = [
        f"{skills}/files/a.txt?version=2",
        f"{skills}/skill-md?version=2",
        f"{skills}/export?version=2",
        f"/{share}/.well-known/agent-skills/one.zip?version_id={version_id}",
        f"/{share}/.well-known/skills/one/SKILL.md?version_id={version_id}",
        f"/{share}/.well-known/skills/one/a.txt?version_id={version_id}",
        f"/{share}/apm/v1/packages/skald/one/versions/1.0.2/download",
        "/api/v1/download?slug=one&version=1.0.2",
        "/api/v1/skills/one/file?path=a.txt&version=1.0.2",
        "/api/v1/skills/one/versions/1.0.2",
    ]

    async def said(address: str, **headers: str) -> tuple[int, str | None, str]:
        answer = await space.client.get(address, headers=headers)
        return answer.status_code, answer.headers.get("x-yanked"), answer.headers.get("etag", "")

    before = [await said(address) for address in exact]
    assert {(status, told) for status, told, _ in before} == {(200, None)}
    position = await space.head()
    await space.ok(200, await space.post("name/one/versions/2/yank", {"reason": "x"}))
    for address, (_, _, tag) in zip(exact, before, strict=True):
        # The bytes are those of before, and so is their tag.
        assert await said(address) == (200, "true", tag), address
        assert (await said(address, **{"if-none-match": tag}))[:2] == (304, "true"), address
    for address in (f"{skills}/files/a.txt", f"{skills}/skill-md", f"{skills}/export?version=1"):
        assert (await said(address))[:2] == (200, None), address
    # As of then nothing was known of it.
    assert (await said(f"{skills}/files/a.txt?version=2&position={position}"))[:2] == (200, None)
    assert (await said(f"/{share}/.well-known/agent-skills/one.zip"))[:2] == (200, None)

    await space.ok(200, await space.post("name/one/versions/2/unyank"))
    assert [await said(address) for address in exact] == before
