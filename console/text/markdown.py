"""Markdown of others as HTML that is safe to show beside a session.

HTML in it is shown as the text that it is: agents read it as well. What the renderer makes is cleaned once more all the same.
Images and links stay within the artifact, or are links that leave without a word of where from.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit

import nh3
from markupsafe import Markup, escape
from pyromark import Options, events_with_range, html

from console.text.visible import HIDDEN, name_of, visible
from domain.artifacts.references import BEGIN, MARK

OPTIONS = Options.ENABLE_TABLES | Options.ENABLE_STRIKETHROUGH | Options.ENABLE_TASKLISTS
# Beyond it a text is shown as it is: rendered, it may be several times as long.
MAX_BYTES = 300_000
# Of quotes and lists in each other. What cleans HTML looks through all that is open for each that it opens.
MAX_DEPTH = 30
MAX_MADE = 1_500_000  # characters of what is made of a text: the empty cells of a table are none of it

TAGS = {
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "br",
        "hr",
        "blockquote",
        "pre",
        "code",
        "em",
        "strong",
        "del",
    ),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a", "img", "input"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "input": {"type", "checked", "disabled"},
    "ol": {"start"},
}
# What stands for a box of a list of tasks: it is text of others, and nothing to fill in.
BOX = re.compile(r"<input[^>]*>")
NESTED = re.compile(r"<(/?)(?:blockquote|ul|ol)\b")
HEADING = re.compile(r"<h([1-6])>")

# Where a path within the artifact leads: to its page, and to its bytes as an image; None when there is no such file.
Place = Callable[[str], str | None]
# Where the mark of a prompt leads: its name, and the version or the label.
Led = Callable[[str, int | None, str | None], str]
# Cleaned HTML in pieces: its tags, whose attributes are quoted, and the text between them.
PIECES = re.compile(r'(<(?:[^>"]|"[^"]*")*>)')
ALT = re.compile(r' alt="([^"]*)"')


def markdown(
    text: str, *, file: Place, image: Place, reference: Led | None = None, headings: int | None = None
) -> Markup:
    """What is nested too deep, or comes out too long, is shown as it is written.

    ``headings``: as many as the outline has get the ids ``h-1``, ``h-2`` and so on; others would not match it.
    """

    def kept(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return link(value)
        if attribute == "src":
            return within(value, image)
        return value if tag != "input" or attribute != "type" or value == "checkbox" else None

    def link(value: str) -> str | None:
        parts = parts_of(value)
        if value.startswith("#") or (parts is not None and parts.scheme in ("http", "https", "mailto")):
            return value
        return within(value, file)

    made = html(as_text(HIDDEN.sub(_named, text.replace("\r\n", "\n"))), options=OPTIONS)
    if len(made) > MAX_MADE or is_too_deep(made):
        return Markup('<pre tabindex="0">{}</pre>').format(visible(text))
    clean = nh3.clean(
        made,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=kept,
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
        # A wide block scrolls, which takes the keyboard, too.
        set_tag_attribute_values={"input": {"disabled": ""}, "pre": {"tabindex": "0"}},
    )
    clean = BOX.sub(lambda found: "☑ " if "checked" in found[0] else "☐ ", clean)
    if headings is not None and len(HEADING.findall(clean)) == headings:
        clean = numbered(clean)
    return Markup(_with_places(clean, reference))


def _with_places(clean: str, reference: Led | None) -> str:
    """Cleaned HTML with a word for each image that is not loaded, and a link at each mark of a prompt that stands in no other link."""
    if "<img" not in clean and (reference is None or BEGIN not in clean):
        return clean
    pieces, linked = PIECES.split(clean), False
    for place, piece in enumerate(pieces):
        if piece.startswith("<img") and ' src="' not in piece:
            pieces[place] = _unloaded(piece)
        elif piece.startswith(("<a ", "<a>", "</a")):
            linked = piece[1] != "/"
        elif reference is not None and not linked and not piece.startswith("<"):
            pieces[place] = MARK.sub(partial(_led, reference), piece)
    return "".join(pieces)


def _unloaded(piece: str) -> str:
    found = ALT.search(piece)
    words = f"image: {found[1]}" if found and found[1] else "image"
    return f'<span class="unloaded" title="Images from elsewhere are not loaded">{words}</span>'


def _led(reference: Led, mark: "re.Match[str]") -> str:
    """A mark as a link; it holds nothing that HTML would take for its own."""
    name, version, label = mark[1], mark[2], mark[3]
    address = escape(reference(name, int(version) if version else None, label))
    return f'<a class="reference" href="{address}">{mark[0]}</a>'


def _named(found: "re.Match[str]") -> str:
    return found[0] if found[0] in "\n\t" else f"⟨{name_of(found)}⟩"


def as_text(text: str) -> str:
    """The same Markdown, with each HTML tag in it written so that it is read as text."""
    if "<" not in text:
        return text
    source = text.encode()
    pieces, end = [], 0
    for event, span in events_with_range(text, options=OPTIONS):
        if type(event) is dict and ("Html" in event or "InlineHtml" in event):
            start = max(span["start"], end)
            pieces += [source[end:start], source[start : span["end"]].replace(b"<", b"&lt;")]
            end = max(end, span["end"])
    return b"".join((*pieces, source[end:])).decode()


def is_too_deep(made: str) -> bool:
    """Whether quotes and lists stand in each other more than ``MAX_DEPTH`` times, in what the renderer made."""
    depth = 0
    for found in NESTED.finditer(made):
        depth += -1 if found[1] else 1
        if depth > MAX_DEPTH:
            return True
    return False


def parts_of(address: str) -> SplitResult | None:
    """None for what no browser takes for an address."""
    try:
        return urlsplit(address)
    except ValueError:
        return None


def within(address: str, place: Place) -> str | None:
    """Where a relative address of a text leads; None for any other."""
    parts = parts_of(address)
    if parts is None or parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    return place(unquote(parts.path).removeprefix("./"))


def numbered(text: str) -> str:
    """Cleaned HTML whose headings have ids."""
    count = 0

    def opened(found: "re.Match[str]") -> str:
        nonlocal count
        count += 1
        return f'<h{found[1]} id="h-{count}">'

    return HEADING.sub(opened, text)


def anchors(outline: Sequence[Mapping[str, object]]) -> list[tuple[int, str, str]]:
    """Level, text and id of each heading of an outline."""
    return [(int(str(one["level"])), str(one["text"]), f"h-{place}") for place, one in enumerate(outline, 1)]
