"""`skald replay`, `verify`, `export` and `import`: prove what the log says, and carry it elsewhere."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.errors import Failure
from cli.operator.database import database
from cli.operator.memory import collect_seldom
from cli.options import common, settings_with
from cli.output import say, show_json
from projections.rebuild import rebuild
from projections.rebuild.verify import verify as verify_database
from store.log import archive

Report = Callable[[int, int], None]


@contextmanager
def bar(title: str) -> Iterator[Report]:
    """A progress bar on standard error with the rate in events a second; nothing where standard error is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.fields[rate]}"), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(title, total=None, rate="")

        def report(position: int, last: int) -> None:
            speed = progress.tasks[0].speed
            shown = "" if speed is None else f"{speed:,.0f} events/s"
            progress.update(task, completed=position, total=last, rate=shown)

        yield report


@click.command()
@click.option(
    "--projection",
    "only",
    type=click.Choice(rebuild.NAMES),
    help="Only this projection, or this table of one.",
)
@common
def replay(only: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Make the read models anew from the log, compare them with the live ones, and put them in their place.

    The service goes on meanwhile. An interrupted replay changes nothing and can be run again.
    """
    collect_seldom()
    with database(settings_with(data_dir=data_dir)) as url, bar("replay") as report:
        try:
            found = asyncio.run(rebuild.replay(url, only=only, progress=report))
        except rebuild.LogDamaged as damaged:
            raise Failure(f"{damaged}; nothing was changed, `skald verify` lists it all") from None
        except rebuild.RebuildRunning as error:
            raise Failure(str(error)) from None
    if as_json:
        show_json({"equal": found.equal, "report": found})
        return
    say(f"{found.events} events of {found.streams} streams up to position {found.position}")
    for difference in found.differences:
        say(
            f"{difference.table}: {difference.only_live} rows were wrong, {difference.only_rebuilt} were missing; replaced"
        )
    if found.equal:
        say("the live read models were equal to the log")


@click.command()
@common
def verify(data_dir: Path | None, as_json: bool) -> None:
    """Check that the database is what the log says. Exit code 1 when it is not."""
    collect_seldom()
    with database(settings_with(data_dir=data_dir)) as url, bar("verify") as report:
        try:
            verdict = asyncio.run(verify_database(url, progress=report))
        except rebuild.RebuildRunning as error:
            raise Failure(str(error)) from None
    if as_json:
        show_json({"sound": verdict.sound, "verdict": verdict})
    else:
        for check in verdict.checks:
            say(f"{'ok    ' if check.holds else 'BROKEN'}  {check.name}")
            for finding in check.findings:
                say(f"          {finding}")
        for note in verdict.notes:
            say(f"note    {note}")
        say(f"{verdict.events} events of {verdict.streams} streams up to position {verdict.position}")
    if not verdict.sound:
        raise SystemExit(1)


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@common
def export_log(file: Path, data_dir: Path | None, as_json: bool) -> None:
    """Write the log and its contents to FILE (.tar.gz), to be imported elsewhere. Keys are not in it."""
    with database(settings_with(data_dir=data_dir)) as url, bar("export") as report:
        about = archive.export(url, file, progress=report)
    if as_json:
        show_json({"file": str(file), "position": about.position, "contents": about.contents})
    else:
        say(f"{file}: the log up to position {about.position} and {about.contents} contents")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@common
def import_log(file: Path, data_dir: Path | None, as_json: bool) -> None:
    """Read FILE, written by `skald export`, into an empty service; positions and ids are kept."""
    with database(settings_with(data_dir=data_dir)) as url, bar("import") as report:
        try:
            about = archive.load(url, file, progress=report)
        except archive.ArchiveError as error:
            raise Failure(str(error)) from None
        asyncio.run(rebuild.replay(url, notify=False))
    if as_json:
        show_json({"position": about.position, "contents": about.contents})
    else:
        say(
            f"the log up to position {about.position} and {about.contents} contents; make keys with `skald key create`"
        )
