"""What `push`, `pull` and `diff` share: whole skills over the wire, several at once, and how problems are shown."""

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from cli.client import answers
from cli.client.remote import Remote
from cli.client.remote_options import shown
from cli.client.skill_folders import SKILL_MD, LocalSkill
from cli.errors import Failure
from cli.output import printable
from domain.formats.archives import LIMITS, Limits, unpack, zip_of

T = TypeVar("T")
R = TypeVar("R")

# Requests at once. A few hide the way to a distant service; more would only queue there.
CONCURRENT = 4

# What the service holds may have come file by file, so it is larger than what may be sent to it as one archive.
LARGEST = Limits(total_bytes=LIMITS.files * LIMITS.file_bytes + LIMITS.skill_md_bytes, keep_junk=True)
# Of its archive: names of files and what else an archive has beside them come to less than a tenth.
LARGEST_ARCHIVE = LARGEST.total_bytes + LARGEST.total_bytes // 10

Progress = Callable[[int], None]


def rows_by_name(remote: Remote, label: str | None = None) -> dict[str, answers.Row]:
    """Every skill of the project, or every one with a label, as the list has it, with its digest."""
    params = {"order_by": "name", "label": label}
    pages = remote.pages(remote.path("llm_skills/"), params, shape=answers.Row)
    rows = {row["name"]: row for row in pages}
    if any("digest" not in row for row in rows.values()):
        raise Failure(
            f"{remote.target.url} gives no digests of skills: it is older than this command", code="too_old"
        )
    return rows


def tree_of(remote: Remote, name: str, version: int | None = None) -> dict[str, bytes]:
    """SKILL.md and all files of a version. Raises Failure when what comes is no skill."""
    answer = remote.request(
        "GET", remote.named(name, "export/"), params={"version": version}, max_bytes=LARGEST_ARCHIVE
    )
    unpacked = unpack(answer.content, LARGEST)
    if unpacked.skill_md is None or any(problem.severity == "error" for problem in unpacked.problems):
        what = unpacked.problems[0].message if unpacked.problems else ""
        raise Failure(f"the service sent something for '{name}' that is no skill: {what}", code="bad_answer")
    return {SKILL_MD: unpacked.skill_md, **dict(unpacked.files)}


def upload(remote: Remote, skill: LocalSkill, *, base_version: int | None, dry_run: bool) -> answers.Imported:
    """Send a skill; the answer of the import. ``base_version`` None: the name must be free."""
    archive = zip_of(sorted(skill.upload().items()), skill.name)
    fields = {
        "mode": "create" if base_version is None else "upsert",
        "dry_run": "true" if dry_run else "false",
    }
    if base_version is not None:
        fields["base_version"] = str(base_version)
    boundary = uuid.uuid4().hex
    answer = remote.request(
        "POST",
        remote.path("llm_skills/import/"),
        content=form(boundary, fields, archive),
        headers={
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            # The same for every attempt: the skill is published once.
            "Idempotency-Key": str(uuid.uuid4()),
        },
    )
    return remote.decoded(answer, answers.Imported)


def form(boundary: str, fields: dict[str, str], archive: bytes) -> bytes:
    """The body of an import."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="skill.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return b"".join([*parts, head.encode(), archive, f"\r\n--{boundary}--\r\n".encode()])


def concurrently(
    remote: Remote, work: Callable[[T], R], items: Iterable[T]
) -> Generator[tuple[T, R], None, None]:
    """``work`` on a few items at a time, results as they come. What fails ends it, as an interrupt does: what has not
    begun then does not begin, and what waits gives up."""
    todo = iter(items)
    pool = ThreadPoolExecutor(CONCURRENT, thread_name_prefix="skald")
    running: dict[Future[R], T] = {}
    try:
        for item in todo:
            running[pool.submit(work, item)] = item
            if len(running) >= CONCURRENT:
                yield from _finished(running)
        while running:
            yield from _finished(running)
    except BaseException:
        remote.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(running: dict[Future[R], T]) -> Iterator[tuple[T, R]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """A bar on standard error; nothing where standard error is no terminal."""
    import sys

    if not sys.stderr.isatty() or total < 2:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def problem_lines(skill: LocalSkill, severity: str, *, code: str | None = None) -> list[str]:
    """``  path: message`` for the errors or the warnings of a folder, all of them or those of one code."""
    lines: list[str] = []
    for problem in skill.problems:
        if problem.severity == severity and code in (None, problem.code):
            place = shown(skill.folder / problem.path if problem.path else skill.folder)
            # A message may bring lines to put into a file.
            lines += f"  {printable(place)}: {problem.message}".split("\n")
    return lines
