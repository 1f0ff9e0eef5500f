"""The registry of APM below a share: versions with the digests of their zips, which never change, and nothing else of the project."""

import asyncio
from hashlib import sha256
from typing import Any

import httpx
import pytest
import yaml

from api.apm import packages as apm
from projections.read import releases
from tests.api.sharing.test_well_known import fetch, share, skill_md, unzipped
from tests.support.space import NewSpace, Space, file, refusal

REGISTRY = "apm/v1/packages/skald"


async def versions(space: Space, base: str, name: str = "pdf-forms") -> dict[str, Any]:
    return await space.ok(200, await fetch(space, f"{base}/{REGISTRY}/{name}/versions"))


async def download(space: Space, base: str, version: str, name: str = "pdf-forms") -> httpx.Response:
    return await fetch(space, f"{base}/{REGISTRY}/{name}/versions/{version}/download")


async def test_each_version_is_a_zip_of_the_digest_that_is_listed(space: Space) -> None:
    await space.create("pdf-forms", files=[file("scripts/run.sh", "#!/bin/sh\n"), file("ü.txt", "ü")])
    await space.publish("pdf-forms", 1, body="# Two\n", description="Fills: in 'forms' #1\n\u2028😀 --- \x7f")
    base = await share(space)
    found = await versions(space, base)
    assert found["package"] == "skald/pdf-forms"
    assert [one["version"] for one in found["versions"]] == ["1.0.2", "1.0.1"]
    for number, one in ((2, found["versions"][0]), (1, found["versions"][1])):
        answer = await download(space, base, one["version"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        assert one["digest"] == f"sha256:{sha256(answer.content).hexdigest()}"
        assert one["size_bytes"] == len(answer.content)
        version = await space.ok(200, await space.get("name/pdf-forms", params={"version": number}))
        assert one["published_at"] == version["created_at"]
        files = unzipped(answer.content)
        assert yaml.safe_load(files.pop("apm.yml")) == {
            "name": "pdf-forms",
            "version": one["version"],
            "description": version["description"],
        }
        assert files == {
            "SKILL.md": await skill_md(space, "pdf-forms", version=number),
            "scripts/run.sh": b"#!/bin/sh\n",
            "ü.txt": "ü".encode(),
        }
    same = await fetch(
        space,
        f"{base}/{REGISTRY}/pdf-forms/versions/1.0.2/download",
        headers={"If-None-Match": (await download(space, base, "1.0.2")).headers["etag"]},
    )
    assert (same.status_code, same.content) == (304, b"")


async def test_a_name_that_yaml_reads_as_something_else_stays_a_text(space: Space) -> None:
    for name in ("123", "null", "1e3", "true"):
        await space.create(name)
        base = await share(space)
        files = unzipped((await download(space, base, "1.0.1", name)).content)
        assert yaml.safe_load(files["apm.yml"])["name"] == name


async def test_what_would_stand_in_the_place_of_the_manifest_is_left_out(space: Space) -> None:
    await space.create("pdf-forms", files=[file("APM.yml", "name: other\n"), file("docs/apm.yml", "kept")])
    await space.create("folder", files=[file("apm.yml/a.txt", "x")])
    base = await share(space)
    for name, kept in (("pdf-forms", {"docs/apm.yml"}), ("folder", set())):
        [listed] = (await versions(space, base, name))["versions"]
        data = (await download(space, base, "1.0.1", name)).content
        assert unzipped(data).keys() == {"apm.yml", "SKILL.md"} | kept
        assert (listed["digest"], listed["size_bytes"]) == (f"sha256:{sha256(data).hexdigest()}", len(data))


async def test_a_large_package_is_sent_while_it_is_made(space: Space) -> None:
    await space.create("large", files=[file(f"{number}.txt", f"{number}" * 600_000) for number in range(3)])
    base = await share(space)
    [listed] = (await versions(space, base, "large"))["versions"]
    data = (await download(space, base, "1.0.1", "large")).content
    assert (listed["digest"], listed["size_bytes"]) == (f"sha256:{sha256(data).hexdigest()}", len(data))


async def test_digests_are_computed_once(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    await space.create("pdf-forms")
    await space.publish("pdf-forms", 1, body="# Two\n")
    base = await share(space)
    made: list[int] = []
    pieces = apm.pieces

    def counted(source: Any, package: Any, manifest: bytes) -> Any:
        made.append(package.number)
        return pieces(source, package, manifest)

    monkeypatch.setattr(apm, "pieces", counted)
    first = await asyncio.gather(*(versions(space, base) for _ in range(3)))
    assert first[0] == first[1] == first[2]
    assert sorted(made) == [1, 2]
    await space.publish("pdf-forms", 2, body="# Three\n")
    assert len((await versions(space, base))["versions"]) == 3
    assert sorted(made) == [1, 2, 3]


async def test_a_list_ends(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    await space.create("pdf-forms", files=[file("a.txt", "a" * 1000)])
    for number in range(2, 6):
        await space.publish("pdf-forms", number - 1, body=f"# {number}\n")
    base = await share(space)
    monkeypatch.setattr(releases, "MAX_RELEASES", 3)
    assert [one["version"] for one in (await versions(space, base))["versions"]] == [
        "1.0.5",
        "1.0.4",
        "1.0.3",
    ]
    monkeypatch.setattr(apm, "MAX_LISTED", 4000)
    assert [one["version"] for one in (await versions(space, base))["versions"]] == ["1.0.5", "1.0.4"]
    monkeypatch.setattr(apm, "MAX_LISTED", 1)
    assert [one["version"] for one in (await versions(space, base))["versions"]] == ["1.0.5"]
    # A lock file names it by its address.
    assert (await download(space, base, "1.0.1")).status_code == 200


@pytest.mark.parametrize(
    "version",
    [
        "1.0.3",
        "1.0.0",
        "1.0.01",
        "1.1.1",
        "1",
        "latest",
        "1.0.9999999999",
        "1.0.-1",
        "1.0.1%0A",
        "1.0.٣",
        "%00",
    ],
)
async def test_what_is_no_version_is_not_found(space: Space, version: str) -> None:
    await space.create("pdf-forms")
    base = await share(space)
    assert refusal(await download(space, base, version))[0] == 404


@pytest.mark.parametrize("name", ["absent", "PDF-Forms", "..", "%2e%2e", "%00", "a%2Fb", "x" * 300])
async def test_other_names_and_owners_are_not_found(space: Space, name: str) -> None:
    await space.create("pdf-forms")
    base = await share(space)
    for path in (
        f"skald/{name}/versions",
        f"skald/{name}/versions/1.0.1/download",
        "other/pdf-forms/versions",
    ):
        answer = await fetch(space, f"{base}/apm/v1/packages/{path}")
        assert answer.status_code == 404


async def test_only_the_project_of_the_share_is_there(space: Space, new_space: NewSpace) -> None:
    other = await new_space()
    await other.create("secret")
    await space.create("pdf-forms")
    base = await share(space)
    assert (await download(space, base, "1.0.1", "secret")).status_code == 404
    assert (await fetch(space, f"{base}/{REGISTRY}/secret/versions")).status_code == 404
    unknown = f"/s/sks_{'a' * 43}"
    assert (await fetch(space, f"{unknown}/{REGISTRY}/pdf-forms/versions")).status_code == 404
    assert (await fetch(space, f"/{REGISTRY}/pdf-forms/versions")).status_code == 404


async def test_a_label_lists_what_it_points_to(space: Space) -> None:
    await space.create("pdf-forms")
    await space.create("unlabeled")
    await space.publish("pdf-forms", 1, body="# Two\n")
    await space.publish("pdf-forms", 2, body="# Three\n")
    await space.ok(201, await space.set_label("live", 1))
    base = await share(space, serve_label="live")
    assert [one["version"] for one in (await versions(space, base))["versions"]] == ["1.0.1"]
    await space.ok(200, await space.set_label("live", 2))
    assert [one["version"] for one in (await versions(space, base))["versions"]] == ["1.0.2"]
    # A lock file may name what the label has pointed to since the share was made; never another version.
    for version, status in (("1.0.1", 200), ("1.0.2", 200), ("1.0.3", 404)):
        assert (await download(space, base, version)).status_code == status
    assert (await fetch(space, f"{base}/{REGISTRY}/unlabeled/versions")).status_code == 404
    assert (await space.delete("name/pdf-forms/labels/live")).status_code == 204
    for version in ("1.0.1", "1.0.2"):
        assert (await download(space, base, version)).status_code == 404


async def test_an_old_name_leads_to_the_new_one(space: Space) -> None:
    await space.create("pdf-forms")
    await space.publish("pdf-forms", 1, body="# Two\n")
    base = await share(space)
    before = await versions(space, base)
    await space.ok(200, await space.post("name/pdf-forms/rename", json={"new_name": "forms"}))
    for path in ("versions", "versions/1.0.1/download"):
        answer = await fetch(space, f"{base}/{REGISTRY}/pdf-forms/{path}")
        assert (answer.status_code, answer.headers["location"]) == (302, f"{base}/{REGISTRY}/forms/{path}")
    after = await versions(space, base, "forms")
    # The latest version is a folder of the new name; what was published before stays as it was.
    assert after["versions"][1] == before["versions"][1]
    assert after["versions"][0]["digest"] != before["versions"][0]["digest"]
    for one in after["versions"]:
        data = (await download(space, base, one["version"], "forms")).content
        assert one["digest"] == f"sha256:{sha256(data).hexdigest()}"


async def test_a_download_is_a_read(new_space: NewSpace) -> None:
    space = await new_space(scopes=("llm_skill:write", "usage:read"))
    await space.create("pdf-forms")
    base = await share(space)
    await versions(space, base)
    await download(space, base, "1.0.1")
    found = await space.ok(200, await space.get("name/pdf-forms/usage", params={"by": "door"}))
    assert [(row["door"], row["reads"]) for row in found["rows"]] == [("discovery", 1)]


async def test_a_yanked_version_is_not_listed_and_its_lock_still_holds(space: Space) -> None:
    await space.create()
    await space.publish("pdf-forms", 1, body="# Two\n")
    base = await share(space)
    before = await versions(space, base)
    await space.ok(200, await space.post("name/pdf-forms/versions/2/yank", json={"reason": "It leaks."}))
    assert (await versions(space, base))["versions"] == before["versions"][1:]
    data = (await download(space, base, "1.0.2")).content
    assert before["versions"][0]["digest"] == f"sha256:{sha256(data).hexdigest()}"
    await space.ok(200, await space.post("name/pdf-forms/versions/2/unyank", json={}))
    assert await versions(space, base) == before
