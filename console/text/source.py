"""Source of others, line by line and in colours, at a bounded price.

A lexer is a set of regular expressions, and a file may be made to hurt them: only those of common languages are used, on texts
and lines of bounded size, an expression sees a bounded part of them, since nothing can stop it, and between two tokens the clock is
looked at. What is over is shown without colours.
"""

from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath
from time import perf_counter
from typing import Any, NamedTuple

from markupsafe import Markup
from pygments.lexer import Lexer, RegexLexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType

from console.text.visible import visible

MAX_BYTES = 100_000  # of a text in colours
MAX_LINE = 2_000  # characters of each of its lines
MAX_SHOWN = 400_000  # characters that a page shows of a text, and its lines
MAX_LINES = 6_000
MAX_SECONDS = 0.3  # after which the rest has no colours
# Characters that one expression looks at. Some take the square of that in steps: 0.05 s, where a whole text would take a minute.
WINDOW = 4_000

# By the end of the name, or all of it.
LEXERS = {
    **dict.fromkeys(("py", "pyi"), "python"),
    **dict.fromkeys(("sh", "bash", "zsh"), "bash"),
    **dict.fromkeys(("js", "mjs", "cjs", "jsx"), "javascript"),
    **dict.fromkeys(("ts", "tsx", "mts"), "typescript"),
    **dict.fromkeys(("yaml", "yml"), "yaml"),
    **dict.fromkeys(("html", "htm"), "html"),
    **dict.fromkeys(("ini", "cfg"), "ini"),
    **dict.fromkeys(("c", "h"), "c"),
    **dict.fromkeys(("rs",), "rust"),
    **dict.fromkeys(("rb",), "ruby"),
    **dict.fromkeys(("patch", "diff"), "diff"),
    **dict.fromkeys(("dockerfile",), "docker"),
    **dict.fromkeys(("makefile", "mk"), "make"),
    **{name: name for name in ("json", "toml", "css", "sql", "go", "java", "xml", "lua", "md")},
}

# What has a colour, by Pygments' short names or their first letter; the rest of a text has none.
COLOURS = {
    **dict.fromkeys(("nf", "nc", "nt", "na", "nd", "fm"), "name"),
    **dict.fromkeys(("gh", "gu"), "key"),
    "k": "key",
    "s": "text",
    "c": "note",
    "m": "number",
    "gi": "added",
    "gd": "removed",
}


def lexer_of(path: str) -> Lexer | None:
    """What reads a file of this name, None for what has no colours."""
    name = PurePosixPath(path).name.lower()
    found = LEXERS.get(name.rpartition(".")[2])
    if found is None:
        return None
    # What stands in a block of code in Markdown would be read by whatever lexer the text names.
    lexer = get_lexer_by_name(found, stripnl=False, ensurenl=False, handlecodeblocks=False)
    if isinstance(lexer, RegexLexer):
        lexer._tokens = _bounded(lexer.__class__)
    return lexer


@cache
def _bounded(lexer: type[RegexLexer]) -> dict[str, list[tuple[Any, Any, Any]]]:
    """The expressions of a lexer by state, each of which looks no further than ``WINDOW``."""

    def within(match: Callable[..., Any]) -> Callable[..., Any]:
        return lambda text, at, end=MAX_BYTES: match(text, at, min(end, at + WINDOW))

    return {
        state: [(within(match), action, following) for match, action, following in rules]
        for state, rules in lexer._tokens.items()
    }


class Part(NamedTuple):
    """The lines of a text, as many as a page shows, and whether that is all of it."""

    lines: list[Markup]
    is_whole: bool


def part(text: str, path: str) -> Part:
    """The beginning of a text of any size."""
    lines = text[:MAX_SHOWN].split("\n", MAX_LINES)
    # What is after the last line is not looked at: it may be many more.
    rest = lines.pop() if len(lines) > MAX_LINES else ""
    shown = "\n".join([*lines, ""]) if len(lines) == MAX_LINES else "\n".join(lines)
    return Part(lines_of(shown, path), not rest and len(text) <= MAX_SHOWN)


def lines_of(text: str, path: str) -> list[Markup]:
    """Each line of the text as HTML, without its end."""
    text = text.replace("\r\n", "\n")
    lexer = lexer_of(path) if len(text) <= MAX_BYTES else None
    if lexer is None or any(len(line) > MAX_LINE for line in text.split("\n")):
        return [visible(line) for line in _lines(text)]
    ends = perf_counter() + MAX_SECONDS
    line: list[str] = []
    found: list[Markup] = []
    done = 0
    for place, kind, value in lexer.get_tokens_unprocessed(text):
        first, *rest = value.split("\n")
        line.append(_token(kind, first))
        for more in rest:
            found.append(Markup("".join(line)))
            line = [_token(kind, more)]
        done = place + len(value)
        if perf_counter() > ends:
            break
    if done < len(text):
        first, *rest = text[done:].split("\n")
        found.append(Markup("".join([*line, visible(first)])))
        found += map(visible, rest)
    else:
        found.append(Markup("".join(line)))
    # What follows the last line end is no line when it is empty.
    return found[:-1] if text.endswith("\n") or not text else found


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def _token(kind: _TokenType, text: str) -> str:
    if not text:
        return ""
    name = ""
    known: _TokenType | None = kind
    while known is not None and not (name := STANDARD_TYPES.get(known, "")):
        known = known.parent
    shown = visible(text)
    mark = COLOURS.get(name) or COLOURS.get(name[:1])
    return f'<span class="t-{mark}">{shown}</span>' if mark else shown
