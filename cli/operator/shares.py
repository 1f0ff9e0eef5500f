"""`skald share`: addresses by which installers read the skills of a project without a key."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import click

from cli.operator.identity import by_option, in_database
from cli.options import Duration, common, settings_with
from cli.output import minute, say, show_json, show_table
from store.postgres.connection import Connection
from store.tables import identity, shares


@click.group()
def share() -> None:
    """Shares: secret addresses that show the skills of one project to anyone who has them."""


@share.command("create")
@click.option("--project", "project_id", type=int, required=True, metavar="ID", help="Whose skills it shows.")
@click.option("--label", default="", help="A name to know it by in `skald share list`.")
@click.option(
    "--expires", type=Duration(), help="Valid for so long, such as 12h or 90d. Without it: until revoked."
)
@click.option(
    "--serve-label",
    metavar="LABEL",
    help="Show the versions that this label points to, and no skill without it.",
)
@by_option
@common
def create_share(
    project_id: int,
    label: str,
    expires: timedelta | None,
    serve_label: str | None,
    by: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create a share. Its token is shown this once."""

    async def work(conn: Connection) -> tuple[shares.Share, str]:
        actor_id = await identity.actor(conn, by)
        return await shares.create(
            conn, project_id, label=label, expires_in=expires, serve_label=serve_label, actor_id=actor_id
        )

    made, token = in_database(data_dir, work)
    path, service = f"/s/{token}", settings_with(data_dir=data_dir).public_url
    if as_json:
        url = service and service + path
        show_json({"id": made.id, "token": token, "path": path, "url": url, "expires_at": made.expires_at})
    else:
        hint = "." if service else "; put the address of the service before it."
        say(f"{service or ''}{path}")
        say(f"share {made.id}{hint} The token is stored as a hash only, so keep it now", err=True)


@share.command("list")
@click.option("--project", "project_id", type=int, metavar="ID", help="Only those of this project.")
@common
def list_shares(project_id: int | None, data_dir: Path | None, as_json: bool) -> None:
    """List all shares, without their tokens."""
    found = in_database(data_dir, lambda conn: shares.list_all(conn, project_id))
    if as_json:
        show_json({"shares": found})
        return
    show_table(
        ["id", "share", "project", "created", "expires", "revoked", "serves", "label"],
        [
            [
                str(each.id),
                f"{each.prefix}…",
                str(each.project_id),
                minute(each.created_at),
                minute(each.expires_at),
                minute(each.revoked_at),
                each.serve_label or "latest",
                each.label,
            ]
            for each in found
        ],
    )


@share.command("revoke")
@click.argument("share_id", metavar="ID", type=click.UUID)
@by_option
@common
def revoke_share(share_id: UUID, by: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Revoke the share ID: its address opens nothing from now on."""

    async def work(conn: Connection) -> shares.Share:
        return await shares.revoke(conn, share_id, actor_id=await identity.actor(conn, by))

    revoked = in_database(data_dir, work)
    if as_json:
        show_json({"id": revoked.id, "revoked_at": revoked.revoked_at})
    else:
        say(f"share {revoked.id} revoked")
