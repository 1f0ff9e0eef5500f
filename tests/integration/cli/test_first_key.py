"""The key that an installation starts with."""

from pathlib import Path

from cli.server import first_key
from store.postgres.pool import connect
from store.tables import identity


async def test_the_owner_of_an_installation_may_do_everything(
    fresh_database_url: str, tmp_path: Path
) -> None:
    made = await first_key.ensure(fresh_database_url, tmp_path / "first-key", embedded=True)
    assert made is not None
    assert made.is_new
    async with await connect(fresh_database_url) as conn:
        found = await identity.find_key(conn, identity.digest_of(made.secret))
    assert found is not None
    assert (set(found.scopes), found.project_ids) == ({"*"}, None)
    again = await first_key.ensure(fresh_database_url, tmp_path / "first-key", embedded=True)
    assert again is not None
    assert (again.secret, again.is_new) == (made.secret, False)


async def test_a_first_key_of_an_earlier_release_stays_as_it_is(
    fresh_database_url: str, tmp_path: Path
) -> None:
    async with await connect(fresh_database_url) as conn:
        project = await identity.create_project(conn, "Default")
        await identity.create_user(conn, email=first_key.OWNER, first_name="Owner")
        _, secret = await identity.create_key(
            conn, email=first_key.OWNER, scopes=("llm_skill:write",), project_ids=[project.id]
        )
    (tmp_path / "first-key").write_text(f"{secret}\n")
    kept = await first_key.ensure(fresh_database_url, tmp_path / "first-key", embedded=True)
    assert kept is not None
    assert (kept.secret, kept.is_new) == (secret, False)
    async with await connect(fresh_database_url) as conn:
        found = await identity.find_key(conn, identity.digest_of(secret))
    assert found is not None
    assert (set(found.scopes), found.project_ids) == ({"llm_skill:write"}, (project.id,))
