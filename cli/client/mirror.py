"""`skald mirror`: whether the project is kept equal to another one, and the end of that."""

from typing import TypedDict

import click

from cli.client import answers
from cli.client.browse import who
from cli.client.remote import RemoteFailure
from cli.client.remote_options import remote_options, service
from cli.output import minute, say, show_json


class Mirror(TypedDict):
    source: str
    key_id: str
    begun_by: answers.Person | None
    begun_at: str


@click.group()
def mirror() -> None:
    """Look at a mirror, or end it; the key needs project:admin. `skald import-from skald --follow` begins one."""


@mirror.command()
@remote_options
def status(profile: str | None, project: str | None, as_json: bool) -> None:
    """Show what the project is a mirror of."""
    with service(profile, project) as remote:
        try:
            found = remote.get(remote.path("mirror/"), shape=Mirror)
        except RemoteFailure as failure:
            if failure.status != 404:
                raise
            found = None
    if as_json:
        show_json({"mirror": found})
    elif found is None:
        say("no mirror")
    else:
        since = f"since {minute(found['begun_at'])} by {who(found['begun_by'])}, key {found['key_id']}"
        say(f"a mirror of {found['source']}, {since}")


@mirror.command()
@remote_options
def end(profile: str | None, project: str | None, as_json: bool) -> None:
    """Let the project be written to again. What follows for it stops; what is there stays."""
    with service(profile, project) as remote:
        remote.send("DELETE", remote.path("mirror/"))
    if as_json:
        show_json({"mirror": None})
    else:
        say("the project is no mirror any more")
