"""The headings of a body, by a CommonMark parser."""

from typing import Any

import msgspec
from markdown_it import MarkdownIt

# Block structure alone finds headings; inline parsing would cost most of the time and change nothing.
_parser = MarkdownIt("commonmark").disable(["inline", "text_join"], ignoreInvalid=True)


class Heading(msgspec.Struct, frozen=True):
    """``level`` 1 to 6; ``text`` is the heading's source without its marks."""

    level: int
    text: str


def outline(body: str) -> list[Heading]:
    """The headings in their order. A ``#`` in a code block is none; setext headings count."""
    if "#" not in body and "=" not in body and "-" not in body:
        return []
    env: dict[str, Any] = {}
    tokens = _parser.parse(body, env)
    return [
        Heading(int(token.tag[1]), tokens[index + 1].content)
        for index, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
