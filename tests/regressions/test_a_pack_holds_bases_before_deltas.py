"""Rows of a pack came in the order of the database, so a delta could come before its base: `git` looks for that at the end,
clients that read a pack once from its start fail. Also across the parts that a pack is read in, and when the base is older
in the store than the commits of a shallow clone are."""

import asyncio
import subprocess
import zlib
from pathlib import Path

import pytest

from domain.formats import git
from projections.git import packs as git_packs
from projections.git.history import Histories
from projections.git.packs import FetchRequest, Repository
from store.log.appender import Appender
from store.postgres.connection import Connection
from store.postgres.pool import Pool, open_pool
from tests.integration.projections.rebuild.test_rebuild import write
from tests.support.histories import commit_of, created, published


def read_once(pack: bytes, known: dict[bytes, tuple[int, bytes]]) -> dict[bytes, tuple[int, bytes]]:
    """The objects of a pack by id; a delta whose base has not come yet fails."""
    assert pack[:8] == b"PACK\0\0\0\2"
    objects = dict(known)
    at = 12
    for _ in range(int.from_bytes(pack[8:12])):
        byte = pack[at]
        kind = byte >> 4 & 7
        at += 1
        while byte & 0x80:
            byte = pack[at]
            at += 1
        base = b""
        if kind == git.REF_DELTA:
            base, at = pack[at : at + git.OID], at + git.OID
        inflate = zlib.decompressobj()
        data = inflate.decompress(pack[at:])
        at = len(pack) - len(inflate.unused_data)
        if base:
            assert base in objects, f"{base.hex()} comes after what builds on it"
            kind, data = objects[base][0], git.patch(objects[base][1], data)
        objects[git.oid_of(kind, data)] = kind, data
    assert len(pack) - at == git.OID
    return objects


def index(folder: Path, pack: bytes) -> None:
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "index-pack", "--stdin", "--strict"], cwd=folder, input=pack, check=True)


async def fetch(conn: Connection, pool: Pool, asked: FetchRequest) -> bytes:
    places = await git_packs.locate(conn, Repository(1), asked)
    plan = await git_packs.plan(conn, Repository(1), asked, places)
    return b"".join([part async for part in git_packs.pack(pool, 1, plan)])


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_bases_first(
    fresh_database_url: str, batch: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(git_packs, "ROW_BATCH", batch)
    await write(fresh_database_url, 11, 150)
    pool = await open_pool(fresh_database_url, size=3)
    try:
        head = await Histories(pool).head(1)
        async with pool.connection() as conn:
            whole = await fetch(conn, pool, FetchRequest(wants=(head,)))
            objects = read_once(whole, {})
            await asyncio.to_thread(index, tmp_path, whole)
            for depth in (1, 2, 5, 20):
                shallow = read_once(await fetch(conn, pool, FetchRequest(wants=(head,), depth=depth)), {})
                assert shallow.items() <= objects.items()
            # Thin packs build on what the client has.
            rows = await (
                await conn.execute("SELECT oid FROM git_commits WHERE project_id = 1 AND sequence = 5")
            ).fetchall()
            asked = FetchRequest(wants=(head,), haves=(rows[0][0],), thin=True)
            assert read_once(await fetch(conn, pool, asked), objects) == objects
    finally:
        await pool.close()


async def test_a_tree_that_comes_back_is_no_delta_against_a_later_one(fresh_database_url: str) -> None:
    appender = Appender(fresh_database_url)
    await appender.start()
    one, first = created("one")
    two, second = created("two")
    await appender.append(first)
    await appender.append(second)
    # The trees of all skills: {one}, {one, two}, {one}, {one, two}.
    for change in ("archive", "restore"):
        two = two.fork()
        getattr(two, change)()
        await appender.append(commit_of(two, known={}))
    _, third = published(one)
    await appender.append(third)
    await appender.close()
    pool = await open_pool(fresh_database_url, size=3)
    try:
        head = await Histories(pool).head(1)
        async with pool.connection() as conn:
            for depth in range(1, 7):
                assert read_once(await fetch(conn, pool, FetchRequest(wants=(head,), depth=depth)), {})
    finally:
        await pool.close()
