"""`skald demo`: a handful of skills and prompts with some history, so that every page has something to show."""

import contextlib
import tomllib
from collections.abc import Collection, Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.client.profile import Target, checked_url
from cli.client.remote import Remote
from cli.client.remote_options import warn
from cli.errors import Failure
from cli.operator.identity import in_database
from cli.options import common, settings_with
from cli.output import say, show_json
from cli.server.serve import is_ready, url_of
from domain.artifacts.kinds import KINDS
from domain.errors import Invalid, NotFound
from projections.events import history
from store.postgres.connection import Connection
from store.tables import identity

SCOPES = [f"{kind.SCOPE}:write" for kind in KINDS.values()]
# A key of a person of the demo is not kept; the next run makes another.
KEY_LASTS = timedelta(minutes=10)
TRY = (
    "skald list",
    "skald log code-review",
    "skald diff code-review 1 4",
    "skald label ticket-triage",
)


class Request(msgspec.Struct, frozen=True):
    """One change below the resource of its kind, and who makes it."""

    by: str
    method: str
    path: str
    body: dict[str, Any] | None = None


class Artifact(msgspec.Struct, frozen=True):
    """A skill or prompt, with the requests that make its history, each of one event."""

    kind: str
    name: str
    requests: list[Request]


class Demo(msgspec.Struct, frozen=True):
    """``people`` by the name under which requests name them."""

    people: dict[str, dict[str, str]]
    artifacts: list[Artifact]


def load() -> Demo:
    text = (files("cli.operator") / "demo.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Demo)


@click.command()
@click.option(
    "--project", "project_id", type=int, metavar="ID", help="Where to put it  [default: the oldest]"
)
@click.option("--url", help="Address of the service  [default: by $SKALD_HOST and $SKALD_PORT]")
@common
def demo(project_id: int | None, url: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Fill a project with examples: skills and prompts with several versions, files, labels and an archived one.

    The service must run. What is there already is left as it is, so a second run changes nothing.
    """
    settings = settings_with(data_dir=data_dir)
    if url is None and not is_ready(settings.host, settings.port):
        raise Failure(
            f"no service is ready at {url_of(settings.host, settings.port)}: start it by `make run`, or name it by --url",
            code="unreachable",
        )
    address = checked_url(url or url_of(settings.host, settings.port))
    wanted = load()
    project_id, counts = in_database(data_dir, lambda conn: found(conn, project_id, wanted.artifacts))
    missing = [artifact for artifact in wanted.artifacts if counts[artifact.name] < len(artifact.requests)]
    authors = {request.by for artifact in missing for request in artifact.requests}
    keys = in_database(data_dir, lambda conn: make_keys(conn, project_id, wanted.people, authors))
    with contextlib.ExitStack() as stack:
        remotes = {
            by: stack.enter_context(
                Remote(Target(url=address, key=key, project=str(project_id)), notice=warn)
            )
            for by, key in keys.items()
        }
        for artifact in wanted.artifacts:
            for request in artifact.requests[counts[artifact.name] :]:
                remote = remotes[request.by]
                path = remote.path(f"{KINDS[artifact.kind].RESOURCE}/{request.path}")
                remote.send(request.method, path, request.body)
            if not as_json:
                say(f"{artifact.kind} {artifact.name}: {'made' if artifact in missing else 'is there'}")
    if as_json:
        made = [artifact.name for artifact in missing]
        there = [artifact.name for artifact in wanted.artifacts if artifact not in missing]
        show_json({"project": project_id, "made": made, "there": there})
    else:
        say(f"In project {project_id} of {address}. Try, after `skald login`:")
        for line in TRY:
            say(f"  {line}")
        people = ", ".join(person["email"] for person in wanted.people.values())
        say(
            f"Its people ({people}) have no key after {KEY_LASTS // timedelta(minutes=1)} minutes, and own what they own all the same."
        )
        say(
            "To sign in as one of them, make a key: in the console under Operate, People, or by `skald key create`."
        )


async def found(
    conn: Connection, project_id: int | None, artifacts: Collection[Artifact]
) -> tuple[int, dict[str, int]]:
    """The project, and by name how many events each has. Raises NotFound."""
    number = project_id or await identity.first_project_id(conn)
    if number is None or await identity.find_project(conn, number) is None:
        raise NotFound(f"There is no project {number}." if number else "There is no project yet.")
    counts = {}
    for artifact in artifacts:
        streams = await history.streams_of(conn, number, artifact.kind, artifact.name, archived=True)
        counts[artifact.name], _ = await history.page(conn, number, artifact.kind, streams, limit=1, offset=0)
    return number, counts


async def make_keys(
    conn: Connection, project_id: int, people: Mapping[str, Mapping[str, str]], names: Collection[str]
) -> dict[str, str]:
    """A key for each person, who is made when missing."""
    keys = {}
    for name in sorted(names):
        with contextlib.suppress(Invalid):  # made by an earlier run
            await identity.create_user(conn, **people[name])
        _, keys[name] = await identity.create_key(
            conn,
            email=people[name]["email"],
            scopes=SCOPES,
            project_ids=[project_id],
            label=f"demo {name}",
            expires_in=KEY_LASTS,
        )
    return keys
