"""`skald project`, `skald user` and `skald key`: who may use the service."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import click

from cli.operator.database import database
from cli.options import Duration, common, settings_with
from cli.output import minute, say, show_json, show_table
from domain.keys import SCOPES
from store.log.history import LogHistory
from store.postgres.connection import Connection
from store.postgres.pool import connect
from store.tables import identity

T = TypeVar("T")

by_option = click.option(
    "--by",
    metavar="EMAIL",
    envvar="SKALD_ACTOR",
    help="The user who does this, for the audit  [default: $SKALD_ACTOR, else none]",
)


def in_database(data_dir: Path | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do ``work`` on a connection to the database that the settings mean."""

    async def run(url: str) -> T:
        connection = await connect(url, application_name="skald-cli")
        async with connection:
            await LogHistory().settle(connection)
            return await work(connection)

    with database(settings_with(data_dir=data_dir)) as url:
        return asyncio.run(run(url))


@click.group()
def project() -> None:
    """Projects: what keeps one team's skills and prompts apart from another's."""


@project.command("create")
@click.argument("name")
@common
def create_project(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Create the project NAME."""
    made = in_database(data_dir, lambda conn: identity.create_project(conn, name))
    if as_json:
        show_json({"id": made.id, "name": made.name, "api_token": made.api_token})
    else:
        say(f"project {made.id} {made.name}, token {made.api_token}")


@project.command("list")
@common
def list_projects(data_dir: Path | None, as_json: bool) -> None:
    """List all projects."""
    found = in_database(data_dir, identity.list_projects)
    if as_json:
        show_json({"projects": found})
    else:
        show_table(["id", "name", "token"], [[str(each.id), each.name, each.api_token] for each in found])


@click.group()
def user() -> None:
    """Users: the people (or services) that keys belong to."""


@user.command("create")
@click.argument("email")
@click.option("--first-name", default="", help="Shown as the author of versions.")
@click.option("--last-name", default="", help="Shown as the author of versions.")
@common
def create_user(email: str, first_name: str, last_name: str, data_dir: Path | None, as_json: bool) -> None:
    """Create the user with the address EMAIL."""
    made = in_database(
        data_dir,
        lambda conn: identity.create_user(conn, email=email, first_name=first_name, last_name=last_name),
    )
    if as_json:
        show_json({"id": made.id, "uuid": made.uuid, "email": made.email})
    else:
        say(f"user {made.id} {made.email}, {made.uuid}")


@user.command("list")
@common
def list_users(data_dir: Path | None, as_json: bool) -> None:
    """List all users but those whose data was erased."""
    found = in_database(data_dir, identity.list_users)
    if as_json:
        show_json({"users": found})
        return
    show_table(
        ["id", "email", "name", "uuid"],
        [
            [str(each.id), each.email, f"{each.first_name} {each.last_name}".strip() or "-", str(each.uuid)]
            for each in found
        ],
    )


@user.command("erase")
@click.argument("email")
@by_option
@common
def erase_user(email: str, by: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Remove all personal data of the user EMAIL and revoke the user's keys. This cannot be undone."""

    async def work(conn: Connection) -> int:
        return await identity.erase_user(conn, email, actor_id=await identity.actor(conn, by))

    user_id = in_database(data_dir, work)
    if as_json:
        show_json({"id": user_id, "erased": True})
    else:
        say(f"user {user_id} erased; the versions they published stay, without an author")


def _scopes_text() -> str:
    width = max(map(len, SCOPES))
    rows = (f"  {scope.ljust(width)}  {opens}" for scope, opens in SCOPES.items())
    return "\b\n" + "\n".join(["Scopes:", *rows])


@click.group()
def key() -> None:
    """Keys: what a client sends as `Authorization: Bearer …`."""


@key.command("create", epilog=_scopes_text())
@click.option("--user", "email", required=True, metavar="EMAIL", help="Whom the key belongs to.")
@click.option(
    "--project",
    "projects",
    type=int,
    multiple=True,
    metavar="ID",
    help="A project that the key opens. May be repeated.",
)
@click.option("--all-projects", is_flag=True, help="Every project, those of later too.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    metavar="SCOPE",
    help="One of those below. May be repeated.",
)
@click.option(
    "--expires", type=Duration(), help="Valid for so long, such as 12h or 90d. Without it: until revoked."
)
@click.option("--label", default="", help="A name to know it by in `skald key list`.")
@by_option
@common
def create_key(
    email: str,
    projects: tuple[int, ...],
    all_projects: bool,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    label: str,
    by: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create a key. It is shown this once, alone on standard output."""
    if bool(projects) == all_projects:
        raise click.UsageError(
            "say which projects the key opens: --project ID (may be repeated), or --all-projects"
        )

    async def work(conn: Connection) -> tuple[identity.Key, str]:
        return await identity.create_key(
            conn,
            email=email,
            scopes=scopes,
            project_ids=projects or None,
            label=label,
            expires_in=expires,
            actor_id=await identity.actor(conn, by),
        )

    made, secret = in_database(data_dir, work)
    if as_json:
        show_json({"id": made.id, "key": secret})
    else:
        say(secret)
        say(f"key {made.id}; it is stored as a hash only, so keep it now", err=True)


@key.command("list")
@common
def list_keys(data_dir: Path | None, as_json: bool) -> None:
    """List all keys, without their secrets."""
    keys = in_database(data_dir, identity.list_keys)
    if as_json:
        show_json({"keys": keys})
        return
    show_table(
        ["id", "key", "user", "scopes", "projects", "expires", "revoked", "label"],
        [
            [
                str(each.id),
                f"{each.prefix}…",
                each.email or "(erased)",
                ",".join(each.scopes),
                "every" if each.project_ids is None else ",".join(map(str, each.project_ids)),
                minute(each.expires_at),
                minute(each.revoked_at),
                each.label,
            ]
            for each in keys
        ],
    )


@key.command("revoke")
@click.argument("key_id", metavar="ID", type=click.UUID)
@by_option
@common
def revoke_key(key_id: UUID, by: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Revoke the key ID: requests with it are refused from now on."""

    async def work(conn: Connection) -> identity.Key:
        return await identity.revoke_key(conn, key_id, actor_id=await identity.actor(conn, by))

    revoked = in_database(data_dir, work)
    if as_json:
        show_json({"id": revoked.id, "revoked_at": revoked.revoked_at})
    else:
        say(f"key {revoked.id} revoked")
