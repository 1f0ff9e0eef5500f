"""`skald console`: a link that signs a browser in."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import click

from cli.client.profile import checked_url
from cli.errors import Failure
from cli.operator.identity import in_database
from cli.options import common, settings_with
from cli.output import say, show_json
from cli.server import console_link
from cli.server.serve import url_of
from store.postgres.connection import Connection
from store.tables import identity
from store.tables.console_sessions import LINK_LASTS


@click.command()
@click.option(
    "--key", "key_id", type=click.UUID, metavar="ID", help="The key that signs in  [default: the first key]"
)
@click.option(
    "--url", help="Address of the service  [default: $SKALD_PUBLIC_URL, else by $SKALD_HOST and $SKALD_PORT]"
)
@common
def console(key_id: UUID | None, url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Print a link that signs a browser in to the console, once, within an hour.

    The browser may do what the key may do, until it signs out or the key ends.
    """
    settings = settings_with(data_dir=data_dir)
    base = checked_url(url) if url else settings.public_url or url_of(settings.host, settings.port)
    file = settings.data_dir / "first-key"

    async def work(conn: Connection) -> str:
        if key_id is not None:
            found = [
                key.id for key in await identity.list_keys(conn) if key.id == key_id and not key.revoked_at
            ]
        else:
            secret = file.read_text().strip() if file.exists() else ""
            principal = await identity.find_key(conn, identity.digest_of(secret))
            found = [principal.key_id] if principal else []
        if not found:
            what = f"no key {key_id}" if key_id else f"no key in {file}"
            raise Failure(
                f"there is {what} that is good; name one of `skald key list` by --key", code="not_found"
            )
        return await console_link.path(conn, found[0])

    path = in_database(data_dir, work)
    url = base + path
    if as_json:
        show_json({"url": url, "seconds": int(LINK_LASTS / timedelta(seconds=1))})
    else:
        say(url)
        say("It signs one browser in, once, within an hour", err=True)
