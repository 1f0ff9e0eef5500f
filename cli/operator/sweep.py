"""`skald sweep`: remove what nothing else ends, when its reader is known to need it no more."""

import asyncio
from pathlib import Path

import click

from cli.operator.database import database
from cli.options import common, settings_with
from cli.output import say, show_json
from projections.git import history as git_history
from store.postgres.pool import connect
from store.tables import checkpoints


@click.command()
@click.option(
    "--git", is_flag=True, help="Drop the git repositories; a fetch makes them again, with the same ids."
)
@click.option(
    "--parked",
    is_flag=True,
    help="Forget the events that followers left out; what comes after them in their streams is taken from now on.",
)
@common
def sweep(git: bool, parked: bool, data_dir: Path | None, as_json: bool) -> None:
    """Remove what grows and has no end of its own. The service may run meanwhile."""
    if not git and not parked:
        raise click.UsageError("Say what to remove: --git, --parked.")
    with database(settings_with(data_dir=data_dir)) as url:
        removed = asyncio.run(_sweep(url, git=git, parked=parked))
    if as_json:
        show_json(removed)
        return
    for what, count in removed.items():
        say(f"{count} {what.replace('_', ' ')} removed")


async def _sweep(url: str, *, git: bool, parked: bool) -> dict[str, int]:
    removed = {}
    async with await connect(url, application_name="skald-sweep") as conn:
        if git:
            removed["git_repositories"] = await git_history.count(conn)
            await git_history.forget(conn)
        if parked:
            removed["parked_events"] = await checkpoints.forget_parked(conn)
    return removed
