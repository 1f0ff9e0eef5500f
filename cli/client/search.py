"""`skald search`: find skills and prompts by what is in them."""

import click

from cli.client import answers
from cli.client.remote_options import one_line, remote_options, service, warn
from cli.output import printable, say, show_json
from domain.artifacts.kinds import KINDS

LIMIT = 20
WIDTH = 110  # characters of an excerpt


# A symbol such as --no-sandbox is what is looked for, no option of this command.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("query", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only skills, or only prompts.")
@click.option("--label", metavar="LABEL", help="In the versions that LABEL points to.")
@click.option(
    "--in", "fields", metavar="FIELDS", help="Of name,description,body,files; everywhere when absent."
)
@click.option("--tags", metavar="TAGS", help="Only of what has all of these, with commas between.")
@click.option("--ever", is_flag=True, help="In all versions, not only in the latest ones.")
@click.option(
    "--limit", type=click.IntRange(1, 100), default=LIMIT, show_default=True, help="So many of the best."
)
@remote_options
def search(
    query: tuple[str, ...],
    kind: str | None,
    label: str | None,
    fields: str | None,
    tags: str | None,
    ever: bool,
    limit: int,
    profile: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Find skills and prompts by what is in them, the best first.

    Words are all needed; '"a phrase"' is literal, and so is a symbol such as --no-sandbox; -word leaves out.
    """
    text = " ".join(query)
    params = {"q": text, "kind": kind, "label": label, "tags": tags, "in": fields, "limit": limit}
    if ever:
        params["ever"] = "true"
    with service(profile, project) as remote:
        page = remote.get(remote.path("search/"), params, shape=answers.Hits)
    if as_json:
        show_json({"results": page["results"], "next_cursor": page["next_cursor"]})
        return
    if not page["results"]:
        warn(f"nothing has {text!r} in it")
        return
    for hit in page["results"]:
        first, last = hit.get("first_version"), hit.get("last_version")
        versions = f"version {hit['version']}" if first is None else f"versions {first} to {last}"
        say(f"{printable(hit['name'])}  ({hit['kind']}, {versions})")
        for match in hit["matches"]:
            say(f"    {_place(match)}: {one_line(match['excerpt'], WIDTH)}")
    if page["next_cursor"]:
        warn(f"there is more: --limit {min(2 * limit, 100)}, or more words")


def _place(match: answers.Match) -> str:
    path, line = match["path"], match["line"]
    if path is None:
        return match["matched_field"] if line is None else f"line {line}"
    return printable(path) if line is None else f"{printable(path)}:{line}"
