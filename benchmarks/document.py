"""The document that is published over and over: a skill of common size, one line of which each edit changes."""

from domain.content import Edit

SECTION = """
## Step {number}

Read the page as it is before changing anything, and note what the reader will look for first. Keep the words of the
source, mark what is quoted, and leave figures alone unless the table they come from is open beside you.

```sh
check --strict --report build/report-{number}.txt
```
"""


def line(revision: int) -> str:
    """The line that tells one revision from the next; it occurs once."""
    return f"Revision {revision:09d}."


def body(revision: int) -> str:
    """About 2 KB of Markdown."""
    return f"# Editing\n\n{line(revision)}\n" + "".join(
        SECTION.format(number=number) for number in range(1, 6)
    )


def edit(revision: int) -> Edit:
    """The edit that leads from ``revision`` to the next."""
    return Edit(line(revision), line(revision + 1))
