"""`skald login` and `logout`: which service the other commands talk to, and with which key."""

import os
import sys

import click

from cli.client import answers
from cli.client.profile import (
    CURRENT,
    DEFAULT,
    DEFAULT_URL,
    ProfileError,
    Profiles,
    Target,
    checked_key,
    checked_name,
    checked_project,
    checked_url,
    is_exposed,
)
from cli.client.remote import Remote, RemoteFailure
from cli.client.remote_options import warn
from cli.errors import Failure
from cli.options import as_json as json_option
from cli.output import say, show_json

MAX_LINE = 4096  # bytes of standard input; a key has a tenth of it

profile_option = click.option(
    "--profile",
    metavar="NAME",
    default=lambda: os.environ.get("SKALD_PROFILE") or DEFAULT,
    help="Under which name to keep it, for several services  [default: $SKALD_PROFILE or default]",
)


@click.command()
@click.option("--url", help=f"Address of the service  [default: $SKALD_URL, else asked for, {DEFAULT_URL}]")
@click.option("--project", metavar="ID", help="[default: $SKALD_PROJECT or the project of the key]")
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input instead of asking for it.")
@profile_option
@json_option
def login(url: str | None, project: str | None, key_stdin: bool, profile: str, as_json: bool) -> None:
    """Keep the address, key and project of a service for `push`, `pull`, `list`, `show`, `log` and `diff`.

    The key is asked for without echo, tried, and written to ~/.config/skald/config.toml (or under $XDG_CONFIG_HOME), which
    only you can read. Without a login those commands take SKALD_URL, SKALD_KEY and SKALD_PROJECT from the environment.
    """
    checked_name(profile)
    profiles = Profiles.of(os.environ)
    asked = sys.stdin.isatty() and not key_stdin
    url = url or os.environ.get("SKALD_URL", "").strip() or None
    if url is None and asked:
        kept = profiles.targets.get(profile)
        url = click.prompt("Address of the service", default=kept.url if kept else DEFAULT_URL, err=True)
    url = checked_url(url or DEFAULT_URL)
    project = checked_project(project or os.environ.get("SKALD_PROJECT", "").strip() or CURRENT)
    if is_exposed(url):
        warn(f"{url} is plain HTTP: the key can be read on the way; use https if you can")
    target = Target(url=url, key=_key(key_stdin), project=project)
    with Remote(target, notice=warn) as remote:
        user = remote.get("/api/users/@me/", shape=answers.Me)
        scopes = remote.get("/api/personal_api_keys/@current", shape=answers.CurrentKey)["scopes"]
        found = _project(remote, project)
        if project not in (CURRENT, str(found["id"])):
            raise Failure(f"{url} answers with project {found['id']} for {project}", code="not_skald")
    profiles.targets[profile] = Target(url=url, key=target.key, project=str(found["id"]))
    profiles.save()
    if as_json:
        show_json(
            {
                "profile": profile,
                "url": url,
                "project": {"id": found["id"], "name": found["name"]},
                "user": user["email"],
                "scopes": scopes,
                "file": str(profiles.path),
            }
        )
        return
    say(f"{user['email']} at {url}, project {found['id']} ({found['name']}), may: {', '.join(scopes)}")
    say(f"kept in {profiles.path} as profile '{profile}'")


def _key(key_stdin: bool) -> str:
    if key_stdin:
        # Bytes, because a wrong file is not text either.
        text = sys.stdin.buffer.readline(MAX_LINE).decode("ascii", "replace").strip()
    elif sys.stdin.isatty():
        text = click.prompt("Key (not shown)", hide_input=True, err=True).strip()
    else:
        raise Failure(
            "there is no terminal to ask for the key on; give it to standard input: skald login --key-stdin < file",
            code="usage",
        )
    return checked_key(text)


def _project(remote: Remote, project: str) -> answers.Project:
    try:
        return remote.get(f"/api/projects/{project}/", shape=answers.Project)
    except RemoteFailure as failure:
        if project == CURRENT and failure.status in (403, 404):
            raise Failure(
                f"the key has no project of its own ({failure}); name one by --project", code=failure.code
            ) from None
        raise


@click.command()
@profile_option
@json_option
def logout(profile: str, as_json: bool) -> None:
    """Forget the key of a profile. It stays valid; its owner revokes it by `skald key revoke`."""
    profiles = Profiles.of(os.environ)
    if profiles.targets.pop(profile, None) is None:
        raise ProfileError(f"there is no profile '{profile}' in {profiles.path}", code="not_found")
    profiles.save()
    if as_json:
        show_json({"profile": profile, "file": str(profiles.path)})
    else:
        say(f"profile '{profile}' is gone from {profiles.path}")
