"""The discovery door: what installers read of a project, with the bytes that every other way gives, and nothing else."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from api.config import ApiConfig
from store.tables import identity, shares
from tests.support.space import NewSpace, Space, file, refusal, running

SCRIPT = "#!/bin/sh\necho 'Grüße'\n"
NEW = ".well-known/agent-skills"
OLD = ".well-known/skills"


async def share(space: Space, **fields: Any) -> str:
    """The path that an installer is given."""
    made = await space.ok(201, await space.post("shares/", json=fields))
    return f"/s/{made['token']}"


async def fetch(space: Space, path: str, *, peer: str = "127.0.0.1", **options: Any) -> httpx.Response:
    """As an installer does: without a key."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(space.app, client=(peer, 50_000)), base_url="http://skald.test"
    ) as client:
        return await client.request(options.pop("method", "GET"), path, **options)


async def index(space: Space, base: str, folder: str = NEW) -> dict[str, Any]:
    return await space.ok(200, await fetch(space, f"{base}/{folder}/index.json"))


async def artifact(space: Space, base: str, entry: dict[str, Any]) -> bytes:
    """What the entry names, checked by its digest."""
    answer = await fetch(space, urljoin(f"{base}/{NEW}/index.json", entry["url"]))
    assert answer.status_code == 200, answer.text
    assert entry["digest"] == f"sha256:{sha256(answer.content).hexdigest()}"
    return answer.content


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


async def skill_md(space: Space, name: str, **query: Any) -> bytes:
    answer = await space.get(f"name/{name}/skill-md/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_the_index_names_each_skill_by_the_digest_of_its_artifact(space: Space) -> None:
    await space.create("plain")
    await space.create("pdf-forms", files=[file("scripts/run.sh", SCRIPT), file("a b.txt", "ü")])
    base = await share(space)
    found = await index(space, base)
    assert found["$schema"] == "https://schemas.agentskills.io/discovery/0.2.0/schema.json"
    packed, plain = found["skills"]
    assert list(packed) == ["name", "type", "description", "url", "digest", "files"]
    assert (packed["name"], packed["type"]) == ("pdf-forms", "archive")
    assert (plain["name"], plain["type"], plain["files"]) == ("plain", "skill-md", ["SKILL.md"])
    assert plain["description"] == "Fill in PDF forms."
    assert packed["files"] == ["SKILL.md", "a b.txt", "scripts/run.sh"]
    assert await artifact(space, base, plain) == await skill_md(space, "plain")
    assert unzipped(await artifact(space, base, packed)) == {
        "SKILL.md": await skill_md(space, "pdf-forms"),
        "a b.txt": "ü".encode(),
        "scripts/run.sh": SCRIPT.encode(),
    }


async def test_a_large_archive_is_the_one_that_the_index_names(space: Space) -> None:
    files = {f"{number}.txt": f"{number}" * 600_000 for number in range(4)}
    await space.create("large", files=[file(path, text) for path, text in files.items()])
    base = await share(space)
    [entry] = (await index(space, base))["skills"]
    data = await artifact(space, base, entry)
    assert {path: content.decode() for path, content in unzipped(data).items() if path in files} == files
    address = f"{base}/{NEW}/{entry['url']}"
    head = await fetch(space, address, method="HEAD")
    assert int(head.headers["content-length"]) == len(data)
    assert head.headers["x-robots-tag"] == "noindex"
    same = await fetch(space, address, headers={"If-None-Match": head.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


async def test_older_installers_fetch_the_files_one_by_one(space: Space) -> None:
    await space.create("pdf-forms", files=[file("scripts/run.sh", SCRIPT), file("a b.txt", "ü")])
    base = await share(space)
    found = await index(space, base, OLD)
    assert found == {
        "skills": [
            {
                "name": "pdf-forms",
                "description": "Fill in PDF forms.",
                "files": ["SKILL.md", "a b.txt", "scripts/run.sh"],
            }
        ]
    }
    for folder in (OLD, NEW):
        for path, expected in (
            ("SKILL.md", await skill_md(space, "pdf-forms")),
            ("a b.txt", "ü".encode()),
            ("scripts/run.sh", SCRIPT.encode()),
            ("scripts%2Frun.sh", SCRIPT.encode()),
        ):
            answer = await fetch(space, f"{base}/{folder}/pdf-forms/{path}")
            assert (answer.status_code, answer.content) == (200, expected)


@pytest.mark.parametrize("path", ["a#b.txt", "a?b.txt", "50%.txt", "größe.txt", "a..b", "[x].md"])
async def test_a_skill_that_file_by_file_would_be_installed_in_part_is_left_to_archives(
    space: Space, path: str
) -> None:
    await space.create("odd", files=[file(path, "content")])
    await space.create("plain")
    base = await share(space)
    assert [entry["name"] for entry in (await index(space, base, OLD))["skills"]] == ["plain"]
    odd, _ = (await index(space, base))["skills"]
    assert "files" not in odd
    assert unzipped(await artifact(space, base, odd))[path] == b"content"


async def test_what_is_sent_is_no_page(space: Space) -> None:
    page = file("index.html", "<script>alert(1)</script>", content_type="text/html")
    await space.create("pdf-forms", files=[page])
    base = await share(space)
    kinds = {}
    for path in ("pdf-forms/SKILL.md", "pdf-forms/index.html", "pdf-forms.zip", "index.json", "none/x"):
        answer = await fetch(space, f"{base}/{NEW}/{path}")
        kinds[path] = answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
    assert kinds == {
        "pdf-forms/SKILL.md": "text/markdown; charset=utf-8",
        "pdf-forms/index.html": "text/plain; charset=utf-8",
        "pdf-forms.zip": "application/zip",
        "index.json": "application/json",
        "none/x": "application/json",
    }


async def test_answers_are_asked_for_again_by_their_tag_and_files_of_fixed_versions_are_kept(
    space: Space,
) -> None:
    await space.create("pdf-forms", files=[file("a.txt")])
    base = await share(space)
    [entry] = (await index(space, base))["skills"]
    fixed = entry["url"].partition("?")[2]
    for path, control in (
        ("index.json", "private, no-cache"),
        ("pdf-forms.zip", "private, no-cache"),
        ("pdf-forms/a.txt", "private, no-cache"),
        (entry["url"], "private, no-cache"),
        (f"pdf-forms/SKILL.md?{fixed}", "private, no-cache"),
        (f"pdf-forms/a.txt?{fixed}", "private, max-age=31536000, immutable"),
    ):
        address = f"{base}/{NEW}/{path}"
        answer = await fetch(space, address)
        assert answer.headers["cache-control"] == control
        head = await fetch(space, address, method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.content))
        same = await fetch(space, address, headers={"If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == answer.headers["etag"]


async def test_a_version_that_was_listed_is_there_until_the_skill_is_archived(space: Space) -> None:
    await space.create("pdf-forms", files=[file("a.txt", "one")])
    base = await share(space)
    before = await index(space, base)
    assert await index(space, base) == before
    first = await artifact(space, base, before["skills"][0])
    await space.publish("pdf-forms", 1, files=[file("a.txt", "two")])
    after = await index(space, base)
    assert after["skills"][0]["digest"] != before["skills"][0]["digest"]
    assert unzipped(await artifact(space, base, after["skills"][0]))["a.txt"] == b"two"
    assert await artifact(space, base, before["skills"][0]) == first
    assert (await fetch(space, f"{base}/{NEW}/pdf-forms/a.txt")).text == "two"
    await space.post("name/pdf-forms/archive/")
    assert (await index(space, base))["skills"] == []
    for entry in (before["skills"][0], after["skills"][0]):
        answer = await fetch(space, f"{base}/{NEW}/{entry['url']}")
        assert refusal(answer)[:2] == (404, "not_found")


async def test_what_is_not_there_is_told(space: Space) -> None:
    await space.create("pdf-forms", files=[file("scripts/run.sh")])
    base = f"{await share(space)}/{NEW}"
    for path in ("pdf-form.zip", "pdf-forms.tar", "pdf-forms", "pdf-forms/run.sh", "x/SKILL.md"):
        assert refusal(await fetch(space, f"{base}/{path}"))[:2] == (404, "not_found")
    unknown = await fetch(space, f"{base}/pdf-forms.zip", params={"version_id": str(uuid4())})
    assert refusal(unknown)[:2] == (404, "not_found")
    bad = await fetch(space, f"{base}/pdf-forms.zip", params={"version_id": "x"})
    assert refusal(bad) == (400, "invalid_input", "version_id")
    nul = await fetch(space, f"{base}/pdf-forms/%00")
    assert refusal(nul)[:2] == (400, "null_characters_not_allowed")
    assert (await fetch(space, f"{base}/pdf-forms/%2e%2e/x")).status_code == 400
    posted = await fetch(space, f"{base}/index.json", method="POST")
    assert posted.status_code == 405


async def test_unknown_revoked_and_expired_shares_are_one_404(space: Space) -> None:
    await space.create("pdf-forms")
    made = await space.ok(201, await space.post("shares/", json={}))
    revoked, expired = f"/s/{made['token']}", await share(space, expires_in=1)
    for base in (revoked, expired):
        assert (await fetch(space, f"{base}/{NEW}/index.json")).status_code == 200
    await space.delete(f"shares/{made['id']}")
    await asyncio.sleep(1.05)
    bodies = set()
    for base in (revoked, expired, "/s/sks_" + "x" * 43, "/s/sks_short", f"/s/{space.key}"):
        for path in ("index.json", "pdf-forms/SKILL.md", "pdf-forms.zip"):
            answer = await fetch(space, f"{base}/{NEW}/{path}")
            assert refusal(answer)[:2] == (404, "not_found")
            assert answer.headers["cache-control"] == "no-store"
            bodies.add(answer.content)
    assert len(bodies) == 1


async def test_a_share_revoked_on_the_host_is_closed_when_the_log_is_heard(space: Space) -> None:
    made, token = await shares.create(space.conn, space.id)
    address = f"/s/{token}/{NEW}/index.json"
    assert (await fetch(space, address)).status_code == 200
    await shares.revoke(space.conn, made.id)
    for _ in range(100):
        if (await fetch(space, address)).status_code == 404:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the share is still open")


async def test_a_share_shows_nothing_of_another_project(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    foreign = await other.create("theirs", files=[file("a.txt", "secret")])
    await other.create("both", files=[file("a.txt", "secret")])
    mine = await space.create("both", files=[file("a.txt", "mine")])
    base = await share(space)
    assert [entry["name"] for entry in (await index(space, base))["skills"]] == ["both"]
    assert [entry["name"] for entry in (await index(space, base, OLD))["skills"]] == ["both"]
    assert (await fetch(space, f"{base}/{NEW}/both/a.txt")).text == "mine"
    for path in ("theirs.zip", "theirs/a.txt", "theirs/SKILL.md", f"both.zip?version_id={foreign['id']}"):
        answer = await fetch(space, f"{base}/{NEW}/{path}")
        assert answer.status_code == 404
        assert "theirs" not in str(answer.json().get("suggestions"))
    assert UUID(mine["id"]) != UUID(foreign["id"])


async def test_the_origin_has_no_skills_unless_the_operator_says_whose(space: Space) -> None:
    await space.create("pdf-forms")
    for path in (
        f"/{NEW}/index.json",
        f"/{OLD}/index.json",
        f"/{NEW}/pdf-forms.zip",
        f"/{NEW}/pdf-forms/SKILL.md",
    ):
        assert refusal(await fetch(space, path))[:2] == (404, "not_found")


@asynccontextmanager
async def serving(space: Space, config: ApiConfig, folder: Path, **changes: Any) -> AsyncIterator[Space]:
    """The same project, served by an application with other settings."""
    changed = msgspec.structs.replace(config, run_dir=folder, **changes)
    async with running(changed) as app:
        yield Space(app, space.conn, space.project, space.user, space.key)


async def test_the_public_project_is_read_at_the_origin(
    space: Space, new_space: NewSpace, api_config: ApiConfig, tmp_path: Path
) -> None:
    await space.create("pdf-forms", files=[file("a.txt", "one")])
    other = await new_space()
    await other.create("theirs")
    async with serving(space, api_config, tmp_path, public_project=space.id) as public:
        [entry] = (await index(public, ""))["skills"]
        assert unzipped(await artifact(public, "", entry))["a.txt"] == b"one"
        answer = await fetch(public, f"/{NEW}/index.json")
        assert answer.headers["cache-control"] == "public, no-cache"
        assert "x-robots-tag" not in answer.headers
        zipped = await fetch(public, f"/{NEW}/{entry['url']}")
        assert zipped.headers["cache-control"] == "public, no-cache", "the name in it may change"
        query = entry["url"].partition("?")[2]
        fixed = await fetch(public, f"/{NEW}/pdf-forms/a.txt?{query}")
        assert fixed.headers["cache-control"] == "public, max-age=3600"
        assert (await fetch(public, f"/{OLD}/pdf-forms/a.txt")).text == "one"
        assert (await fetch(public, f"/{NEW}/theirs/SKILL.md")).status_code == 404
        # Shares of other projects go on beside it.
        made, token = await shares.create(space.conn, other.id)
        assert made.project_id == other.id
        [theirs] = (await index(public, f"/s/{token}"))["skills"]
        assert theirs["name"] == "theirs"


async def test_each_share_has_a_budget_of_its_own_and_each_reader_of_the_origin(
    space: Space, api_config: ApiConfig, tmp_path: Path
) -> None:
    await space.create("pdf-forms")
    one, two = await share(space), await share(space)
    changes: dict[str, Any] = {"public_project": space.id, "share_rate_limit_per_minute": 2}
    async with serving(space, api_config, tmp_path, **changes) as limited:
        for base in (one, two, ""):
            path = f"{base}/{NEW}/index.json"
            # Readers of the origin are told apart by their address.
            peer = f"198.51.100.{space.id % 256}"
            answers = [await fetch(limited, path, peer=peer) for _ in range(5)]
            statuses = [answer.status_code for answer in answers]
            assert statuses[:2] == [200, 200]
            throttled = [answer for answer in answers if answer.status_code == 429]
            assert throttled
            assert throttled[0].json()["code"] == "throttled"
            assert int(throttled[0].headers["retry-after"]) >= 1
            assert throttled[0].headers["access-control-allow-origin"] == "*"


async def test_a_description_that_installers_would_count_as_too_long_is_cut_in_the_index_alone(
    space: Space,
) -> None:
    await space.create("pdf-forms", description="😀" * 1024)
    base = await share(space)
    [entry] = (await index(space, base))["skills"]
    assert entry["description"] == "😀" * 512
    assert "😀" * 1024 in (await artifact(space, base, entry)).decode()


async def test_an_erased_author_takes_no_skill_away(space: Space) -> None:
    await space.create("pdf-forms", files=[file("a.txt")])
    base = await share(space)
    before = await index(space, base)
    await identity.erase_user(space.conn, space.user.email)
    assert await index(space, base) == before
    await artifact(space, base, before["skills"][0])


async def test_a_renamed_skill_is_found_at_its_old_addresses(space: Space) -> None:
    await space.create("plain")
    await space.create("pdf-forms", files=[file("a b.txt", "ü")])
    base = await share(space)
    before = {entry["name"]: entry for entry in (await index(space, base))["skills"]}
    for old, new in (("pdf-forms", "forms"), ("plain", "simple")):
        await space.ok(200, await space.post(f"name/{old}/rename", {"new_name": new}))

    after = {entry["name"]: entry for entry in (await index(space, base))["skills"]}
    assert after.keys() == {"forms", "simple"}
    for entry in after.values():
        await artifact(space, base, entry)
    assert after["simple"]["digest"] != before["plain"]["digest"]
    for old, new in (
        (f"{NEW}/{before['pdf-forms']['url']}", f"{NEW}/{after['forms']['url']}"),
        (f"{NEW}/{before['plain']['url']}", f"{NEW}/{after['simple']['url']}"),
        (f"{OLD}/pdf-forms/a%20b.txt", f"{OLD}/forms/a%20b.txt"),
        ("skills/pdf-forms/a%20b.txt", "skills/forms/a%20b.txt"),
        ("skills/pdf-forms/index.json", "skills/forms/index.json"),
    ):
        led = await fetch(space, f"{base}/{old}")
        assert (led.status_code, led.headers["location"]) == (302, f"{base}/{new}")
        assert led.headers["access-control-allow-origin"] == "*"
        assert (await fetch(space, led.headers["location"])).status_code == 200
    assert (await fetch(space, f"{base}/{NEW}/nothing/SKILL.md")).status_code == 404
