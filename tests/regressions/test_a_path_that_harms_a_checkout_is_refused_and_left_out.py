"""`SKILL.md/x` stopped the git repository of its project for good; `.git/config` made `git status` in a pulled skill run
what its author had written. Both were accepted by every way in, and came out by every door."""

from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from cli.client import skill_folders
from cli.client.checkout import Checkout
from cli.client.profile import Target
from cli.errors import Failure
from cli.schema import FOLDERS
from domain.artifacts.skills import File, Skill
from domain.content import check_path, is_unsafe
from domain.errors import Invalid
from domain.formats.archives import zip_of
from projections.rebuild import rebuild
from projections.rebuild.verify import verify
from store.log.appender import Appender
from tests.support.archives import send, skill_md, unzipped
from tests.support.gitting import Git, git
from tests.support.histories import commit_of, new_skill, published
from tests.support.space import Space, file, refusal, skill
from tests.support.tars import tar_gz_of

__all__ = ["git"]

# As somebody may send it, with the code of the refusal; `/` between segments after normalisation.
UNSAFE = [
    ("SKILL.md/x", "reserved_path"),
    ("sKiLL.MD/a/b", "reserved_path"),
    (".git/config", "unsafe_path"),
    ("a/.git/hooks/post-checkout", "unsafe_path"),
    (".GIT/config", "unsafe_path"),
    (".git./config", "unsafe_path"),
    ("a/.git . /config", "unsafe_path"),
    ("git~1/config", "unsafe_path"),
    (".git::$INDEX_ALLOCATION/config", "unsafe_path"),
    ("a/.git:x", "unsafe_path"),
    (".g\u200cit/config", "unsafe_path"),
    (".\ufeffGit/config", "unsafe_path"),
    (".gitmodules", "unsafe_path"),
    ("C:/x", "unsafe_path"),
]
PATHS = [path for path, _ in UNSAFE]
SAFE = ["a/SKILL.md/x", "SKILL.md.d/x", ".gitignore", ".github/x", "git/x", "a.git/x", "git~x"]

FILES = (*(File(path, b"bad") for path in PATHS), File("good.txt", b"good"))


def old_skill(name: str = "old") -> tuple[Skill, Any]:
    """A version as an earlier release took it."""
    return new_skill(name, files=FILES)


async def write(url: str, *commits: Any) -> None:
    appender = Appender(url)
    await appender.start()
    for commit in commits:
        await appender.append(commit)
    await appender.close()


@pytest.mark.parametrize("path", PATHS)
def test_the_domain_refuses_it(path: str) -> None:
    for way in (path, path.replace("/", "\\")):
        with pytest.raises(Invalid):
            check_path(way)


@pytest.mark.parametrize("path", SAFE)
def test_what_looks_like_it_stays_allowed(path: str) -> None:
    assert check_path(path) == path
    assert not is_unsafe(path)


@pytest.mark.parametrize(("path", "code"), UNSAFE)
async def test_no_way_leads_in(space: Space, path: str, code: str) -> None:
    await space.create("there", files=[file("a.txt")])
    answers = [
        await space.post(json=skill("fresh", files=[file(path)])),
        await space.patch("there", {"base_version": 1, "files": [file(path)]}),
        await space.post("name/there/files", json={"base_version": 1, **file(path)}),
        await space.post(
            "name/there/files-rename", json={"base_version": 1, "old_path": "a.txt", "new_path": path}
        ),
    ]
    assert [refusal(answer)[:2] for answer in answers] == [(400, code)] * 4
    tree = [("SKILL.md", skill_md("fresh")), (path, b"x")]
    for archive in (zip_of(tree, "fresh"), tar_gz_of(tree, "fresh"), zip_of(tree), tar_gz_of(tree)):
        assert refusal(await send(space, archive))[:2] == (400, "invalid_skill")
    assert (await space.show("there"))["version"] == 1


@pytest.mark.parametrize(
    "path", [path for path in PATHS if not path.lower().startswith(("skill.md/", ".git/"))]
)
def test_no_push_takes_it(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "fresh"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(b"x")
    (folder / "SKILL.md").write_bytes(skill_md("fresh"))
    found = skill_folders.read(folder, tmp_path)
    assert path not in found.files
    if "/.git/" not in path:
        assert [problem.code for problem in found.errors] == ["unsafe_path"]


@pytest.mark.parametrize("path", PATHS)
def test_a_client_writes_it_whatever_is_sent_never(tmp_path: Path, path: str) -> None:
    checkout = Checkout(tmp_path, Target(url="http://a.example", key="sk_x", project="1"))
    with pytest.raises(Failure) as refused:
        checkout.plan("fresh", {"SKILL.md": b"x", path: b"x"})
    assert refused.value.code == "unsafe_path"


def test_what_an_older_client_wrote_goes_with_the_next_version(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, Target(url="http://a.example", key="sk_x", project="1"))
    tree = {"SKILL.md": b"x", ".git/config": b"[core]"}
    (tmp_path / "one/.git").mkdir(parents=True)
    for path, data in tree.items():
        (tmp_path / "one" / path).write_bytes(data)
    checkout.note("one", tree, version=1, digest="")
    after = {"SKILL.md": b"y"}
    plan = checkout.plan("one", after)
    assert (plan.remove, plan.changed) == ([".git/config"], [])
    checkout.carry_out("one", plan, after, version=2, digest="")
    assert not (tmp_path / "one/.git").exists()


async def test_a_version_that_has_it_comes_out_without(space: Space, postgres_url: str) -> None:
    old, contents = old_skill()
    await write(postgres_url, commit_of(old, contents, project_id=space.id))

    shown = await space.show("old")
    assert [one["path"] for one in shown["files"]] == ["good.txt"]
    told = {problem["path"] for problem in shown["spec_problems"] if problem["code"] == "left_out_path"}
    assert told == set(PATHS)
    for path in PATHS:
        quoted = path.replace("$", "%24")
        assert (await space.get(f"name/old/files/{quoted}")).status_code == 404
        assert (await space.delete(f"name/old/files/{quoted}")).status_code == 404
    archive = await space.get("name/old/export/")
    assert sorted(unzipped(archive.content)) == ["old/SKILL.md", "old/good.txt"]
    token = (await space.ok(201, await space.post("shares/", json={})))["token"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(space.app), base_url="http://x") as client:
        for version in ("agent-skills", "skills"):
            base = f"/s/{token}/.well-known/{version}"
            [entry] = (await client.get(f"{base}/index.json")).json()["skills"]
            assert entry["files"] == ["SKILL.md", "good.txt"]
            assert (await client.get(f"{base}/old/good.txt")).status_code == 200
            assert (await client.get(f"{base}/old/.git/config")).status_code == 404

    # What is made of it is without, too.
    copy = await space.ok(201, await space.post("name/old/duplicate", json={"new_name": "copy"}))
    assert copy["spec_problems"] == []
    await space.publish("old", 1, body="# Next\n")
    await space.publish("old", 2, files=[])
    await space.ok(200, await space.post("name/old/revert", json={"version": 1, "base_version": 3}))
    assert (await space.show("old"))["spec_problems"] == []
    assert [one["path"] for one in (await space.show("old"))["files"]] == ["good.txt"]


async def test_a_file_may_stand_where_an_unseen_one_has_its_folder(space: Space, postgres_url: str) -> None:
    old, contents = old_skill("taken")
    await write(postgres_url, commit_of(old, contents, project_id=space.id))
    await space.ok(201, await space.post("name/taken/files", json={"base_version": 1, **file("a")}))
    assert [one["path"] for one in (await space.show("taken"))["files"]] == ["a", "good.txt"]


async def test_its_repository_works_again(git: Git) -> None:
    old, contents = old_skill()
    first = commit_of(old, contents, project_id=git.project_id)
    after, more = published(old, project_id=git.project_id)
    await write(git.service.database_url, first, more)
    folder = git.clone("healed")
    assert after.number == 2
    assert git.log(folder) == ["old: version 2", "old: version 1", "An empty marketplace"]
    held = git.files(folder)
    assert {"old/SKILL.md", "old/good.txt"} <= held.keys()
    assert not any(".git" in path.lower() or path.startswith("old/SKILL.md/") for path in held)
    assert "  SKILL.md/x" in git("log", "-1", "--format=%B", cwd=folder).splitlines()


async def test_what_an_older_release_stored_is_made_anew(fresh_database_url: str) -> None:
    old, contents = old_skill()
    plain, text = new_skill("plain", files=(File("README.md", b"x"), File("a/b", b"y")))
    await write(fresh_database_url, commit_of(old, contents), commit_of(plain, text))
    [migration] = [file for room in FOLDERS for file in room.glob("*_served_paths.sql")]
    with psycopg.connect(fresh_database_url) as conn:
        # As it was rendered: with all files.
        stored = "(SELECT package FROM versions WHERE stream_id = %s)"
        conn.execute(f"UPDATE versions SET package = {stored} WHERE stream_id = %s", (plain.id, old.id))
        conn.execute(migration.read_bytes())
        # The migration that numbers renderings comes after it.
        mark = "UPDATE versions SET rendering = 0 WHERE package IS NULL RETURNING stream_id"
        rows = conn.execute(mark).fetchall()
    assert rows == [(old.id,)]
    assert await rebuild.complete(fresh_database_url)
    verdict = await verify(fresh_database_url)
    assert verdict.sound
    assert [note.partition(" has")[0] for note in verdict.notes] == ["old version 1"]
