"""What a search is for: words, "phrases" and symbols, each of which an artifact has to have, or not to have (``-``)."""

import re
from collections.abc import Iterator

import msgspec

from projections.write.words import MAX_WORD, OVERLAP, fold, is_dense, lexemes, spaced

MAX_QUERY = 300  # characters; folding may make twice as many of them, which the parts of a text overlap by
assert MAX_QUERY < OVERLAP
MAX_RANKED = 12  # words that count for the order; each costs a look at the words of every text that has it
MAX_COMPARED = (
    8  # terms that texts are searched for character by character; others are found by their words alone
)

# A phrase, which the end of the query may end, or what stands between blanks.
PIECE = re.compile(r'(-?)"([^"]*)(?:"|\Z)|(\S+)')
# Marks of a sentence behind a word. Such a word is found without them, too.
TRAILING = re.compile(r"[,;:!?.…]+$")
WORD = re.compile(r"[^\W_]+")


class Term(msgspec.Struct, frozen=True):
    """``text`` is folded. ``needle``: what a text has to contain beside the words of ``query``, the text of a tsquery.

    ``word`` is there when the term is one word as people write it: what is written almost like it may be meant.
    """

    text: str
    query: str
    needle: str | None = None
    negated: bool = False
    word: str | None = None


def parse(text: str) -> list[Term]:
    """The terms of a query, each once."""
    found: dict[tuple[str, bool], Term] = {}
    compared = 0
    for piece, negated, quoted in _pieces(text):
        term = _term(piece, negated, quoted)
        if term is None or (term.text, term.negated) in found:
            continue
        if term.needle is not None:
            compared += 1
            if compared > MAX_COMPARED:
                term = msgspec.structs.replace(term, needle=None)
        found[term.text, term.negated] = term
    return list(found.values())


def _pieces(text: str) -> Iterator[tuple[str, bool, bool]]:
    for minus, phrase, piece in PIECE.findall(text):
        if not piece:
            yield phrase, minus == "-", True
        elif len(piece) > 1 and piece[0] == "-" and piece[1] != "-":
            yield piece[1:], True, False
        else:
            yield piece, False, False


def _term(piece: str, negated: bool, quoted: bool) -> Term | None:
    text = spaced(fold(piece)).strip()
    if not quoted and (stripped := TRAILING.sub("", text)) and WORD.search(stripped):
        text = stripped
    found = list(dict.fromkeys(lexemes(text)))
    if not found:
        return None
    words = [lexeme for lexeme in found if lexeme[0].isalnum()]
    if is_dense(text):
        # A single character is in each of its pairs.
        pairs = [lexeme for lexeme in words if len(lexeme) > 1]
        words = pairs or words
    elif words:
        # Single marks narrow nothing down.
        words += [lexeme for lexeme in found if len(lexeme) == 2 and not lexeme[0].isalnum()]
    whole = len(words) == 1 and words[0] == text and len(text) < MAX_WORD
    return Term(
        text,
        all_of(words or found),
        None if whole else text,
        negated,
        text if whole and not quoted and not is_dense(text) else None,
    )


def all_of(words: list[str]) -> str:
    return " & ".join(map(_quoted, words))


def any_of(words: list[str]) -> str:
    return " | ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
