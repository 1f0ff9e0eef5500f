"""`skald tag` and `owner`: what belongs to a name and not to one of its versions."""

from collections.abc import Callable

import click

from cli.client import answers
from cli.client.browse import who
from cli.client.remote import Remote, RemoteFailure
from cli.client.remote_options import kind as kind_option
from cli.client.remote_options import remote_options, service
from cli.errors import Failure
from cli.output import printable, say, show_json

ATTEMPTS = 5  # with the marks that another change has left
MEMBERS = "/api/organizations/@current/members/"

Change = Callable[[answers.Version], list[str]]


@click.command()
@click.argument("name")
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Take these tags away.")
@kind_option
@remote_options
def tag(
    name: str,
    tags: tuple[str, ...],
    remove: bool,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show the tags of the skill (or prompt) NAME, or add TAG... to them. No version is made."""

    def changed(found: answers.Version) -> list[str]:
        now = found.get("tags", [])
        wanted = {one.strip().lower() for one in tags}
        return [one for one in now if one not in wanted] if remove else [*now, *tags]

    with service(profile, project) as remote:
        found = _marked(remote, name, kind, "tags", changed if tags else None)
    if as_json:
        show_json({"name": found["name"], "tags": found.get("tags", [])})
    else:
        say(f"{found['name']}: {', '.join(map(printable, found.get('tags', []))) or 'no tags'}")


@click.command()
@click.argument("name")
@click.argument("users", metavar="[MAIL]...", nargs=-1)
@click.option("--remove", is_flag=True, help="They answer for it no more.")
@kind_option
@remote_options
def owner(
    name: str,
    users: tuple[str, ...],
    remove: bool,
    kind: str,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Show who answers for the skill (or prompt) NAME, or add users by their mail addresses. No version is made."""
    with service(profile, project) as remote:
        wanted = {} if remove else {mail: uuid_of(remote, mail) for mail in users}

        def changed(found: answers.Version) -> list[str]:
            gone = {mail.lower() for mail in users} if remove else set()
            kept = [one["uuid"] for one in found.get("owners", []) if one["email"].lower() not in gone]
            return list(dict.fromkeys([*kept, *wanted.values()]))

        found = _marked(remote, name, kind, "owners", changed if users else None)
    owners = found.get("owners", [])
    if as_json:
        show_json({"name": found["name"], "owners": owners})
    else:
        shown = [f"{who(one)} <{printable(one['email'])}>" for one in owners]
        say(f"{found['name']}: {', '.join(shown) or 'no owner'}")


def uuid_of(remote: Remote, mail: str) -> str:
    """The uuid of the member with this mail address. Raises Failure."""
    return str(_member(remote, mail)["uuid"])


def id_of(remote: Remote, mail: str) -> int:
    return _member(remote, mail)["id"]


def _member(remote: Remote, mail: str) -> answers.Owner:
    for one in remote.pages(MEMBERS, {"search": mail}, shape=answers.Member):
        if one["user"]["email"].lower() == mail.lower():
            return one["user"]
    raise Failure(f"there is no user {printable(mail)} with a key to a project of this key", code="not_found")


def _marked(remote: Remote, name: str, kind: str, field: str, change: Change | None) -> answers.Version:
    """The artifact with what ``change`` makes of its tags or owners; as it is without one."""
    path = remote.named(name, kind=kind)
    for attempt in range(1, ATTEMPTS + 1):
        answer = remote.request("GET", path)
        found: answers.Version = remote.decoded(answer, answers.Version)
        if change is None:
            return found
        try:
            made: answers.Version = remote.send(
                "PATCH",
                path,
                {field: change(found)},
                shape=answers.Version,
                headers={"If-Match": answer.headers.get("etag", "*")},
            )
        except RemoteFailure as failure:
            if failure.status != 412 or attempt == ATTEMPTS:
                raise
        else:
            return made
    raise AssertionError
