"""The text of an artifact as its page shows it: Markdown with the links of its files and references, or its source."""

from collections.abc import Callable
from typing import Any

import msgspec

from console.kinds import Content, Shown
from console.picking import Picked
from console.text import markdown, source
from projections.read.versions import Version

_outline = msgspec.json.Decoder(list[dict[str, Any]])

# The address of a place in the project, by its segments and query.
Url = Callable[..., str]


class Body(msgspec.Struct, frozen=True):
    """``text`` renders it, when the page is put together; ``headings`` are those of what is rendered."""

    is_rendered: bool
    headings: list[Any]
    text: Callable[[], Any]


def body_of(url: Url, kind: Shown, version: Version, picked: Picked, content: Content, view: str) -> Body:
    """``view`` is text or source."""
    if view != "text" or content.is_json or len(version.body) > markdown.MAX_BYTES:
        return Body(False, [], lambda: source.part(content.text, "a.json" if content.is_json else "a.md"))
    paths = {file.path for file in content.files}
    headings = markdown.anchors(_outline.decode(version.outline or b"[]"))

    def address(place: str) -> Callable[[str], str | None]:
        def of(path: str) -> str | None:
            if path not in paths:
                return None
            return url(kind.plural, version.name, place, *path.split("/"), **picked.query)

        return of

    def reference(name: str, number: int | None, label: str | None) -> str:
        return url(kind.plural, name, version=number, label=label)

    return Body(
        True,
        headings,
        lambda: markdown.markdown(
            content.text,
            file=address("files"),
            image=address("raw"),
            reference=reference if kind.has_references else None,
            headings=len(headings),
        ),
    )
