"""Texts of others with nothing hidden in them: what turns the direction of writing or cannot be seen is shown by its name."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

# Controls, marks and overrides of direction, separators, byte order marks, tags. Joiners stay: emoji and languages need them.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def name_of(found: "re.Match[str]") -> str:
    return f"U+{ord(found[0]):04X}"


def visible(text: object) -> Markup:
    """The text as HTML. The end of a line written as CRLF is one."""
    escaped = str(escape(str(text).replace("\r\n", "\n")))
    if escaped.isascii() and escaped.isprintable():
        return Markup(escaped)
    return Markup(HIDDEN.sub(lambda found: f'<span class="hidden-char">{name_of(found)}</span>', escaped))


def marked(text: str, words: Sequence[str]) -> Markup:
    """The text as HTML, with each of the words marked, in any case."""
    if not words:
        return visible(text)
    parts = re.split(f"({'|'.join(map(re.escape, words))})", text, flags=re.IGNORECASE)
    # What is between two words comes first, then a word, and so on.
    return Markup("").join(
        Markup("<mark>{}</mark>").format(visible(part)) if place % 2 else visible(part)
        for place, part in enumerate(parts)
    )
