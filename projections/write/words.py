"""Texts taken apart for a search: folded, in parts, into lexemes.

What is sought goes through the same functions, and nothing of it is left to the database: its locale would decide what a letter
is, its dictionaries which accents fold, and its parser what becomes of ``--no-sandbox``.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import msgspec

from domain.outline import outline

# Characters of a part. PostgreSQL holds 1 MB of lexemes in a row at most, and this many pairs of ideographs are less in any case.
PART = 50_000
# A part begins again with the last ones of the part before it: more than a search may have (see ``projections.search.terms``).
OVERLAP = 400
MAX_WORD = 100  # characters of a lexeme; what is longer is found by its beginning, and compared as a whole
MAX_COUNT = 4  # how often a word occurs counts up to here
# Of the words of a text that are kept for what is almost like them: the most frequent ones. Hostile texts have 100,000.
MAX_KNOWN = 1_000
KNOWN = re.compile(r"(?<![^\W_])[^\W_]{3,40}(?![^\W_])")

# Scripts that are written without blanks: each character and each pair of them is a lexeme. Korean has blanks, but its words
# are seldom alone.
DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
ASCII_TOKENS = re.compile(r"[a-z0-9]+|[^a-z0-9\s]+")
TOKENS = re.compile(rf"[{DENSE}]+|(?:(?![{DENSE}])[^\W_])+|(?:(?![{DENSE}])[\W_](?<!\s))+")
IS_DENSE = re.compile(f"[{DENSE}]")
BLANKS = re.compile(r"\s+")

# Combining accents of Latin, Greek and Cyrillic; those of other scripts tell letters apart.
ACCENTS = re.compile("[\u0300-\u036f]+")
# Letters that are no other letter with an accent, and are typed without one all the same.
LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)


def fold(text: str) -> str:
    """Without case and accents. No line end comes or goes."""
    if text.isascii():
        return text.lower()
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFC", plain).casefold().translate(LETTERS)


def spaced(text: str) -> str:
    """Each run of white space as one blank, as texts are compared with what is sought."""
    return BLANKS.sub(" ", text)


def is_dense(text: str) -> bool:
    """Whether there is a character in it of a script that is written without blanks."""
    return not text.isascii() and IS_DENSE.search(text) is not None


def lexemes(folded: str) -> Iterator[str]:
    """Words, and single characters and pairs of all that is no word."""
    for token in (ASCII_TOKENS if folded.isascii() else TOKENS).findall(folded):
        if token[0].isalnum() and not is_dense(token):
            yield token[:MAX_WORD]
        else:
            yield from token
            yield from map("".join, pairwise(token))


class Part(msgspec.Struct, frozen=True):
    """``words`` is the text of a tsvector."""

    number: int
    words: str
    text: str


def parts(text: str, weight: str = "") -> Iterator[Part]:
    """The parts of a text; ``weight`` is that of all its words, else those of headings have C."""
    for number, start in enumerate(starts(text)):
        # PostgreSQL holds no NUL; a text with one comes from elsewhere than our API.
        piece = text[start : start + PART + OVERLAP].replace("\0", " ")
        folded = fold(piece)
        yield Part(number, vector(folded, weight, () if weight else _headings(piece)), spaced(folded))


def starts(text: str) -> range:
    """Where the parts of a text begin; there is at least one."""
    return range(0, max(len(text), 1), PART)


def _headings(text: str) -> Iterable[str]:
    for heading in outline(text):
        yield from lexemes(fold(heading.text))


def vector(folded: str, weight: str, headings: Iterable[str]) -> str:
    """The text of a tsvector: how often a word occurs is how many positions it has, headings first."""
    counts = Counter(lexemes(folded))
    headed = Counter(headings)
    rows = []
    for word, count in counts.items():
        name = word if word.isalnum() else word.replace("\\", "\\\\").replace("'", "''")
        if weight:
            places = ",".join(f"{place}{weight}" for place in range(1, min(count, MAX_COUNT) + 1))
        elif word in headed:
            first = min(headed[word], MAX_COUNT)
            places = ",".join(
                f"{place}C" if place <= first else str(place)
                for place in range(1, min(max(count, first), MAX_COUNT) + 1)
            )
        else:
            places = PLACES[min(count, MAX_COUNT)]
        rows.append(f"'{name}':{places}")
    return " ".join(rows)


PLACES = [",".join(map(str, range(1, count + 1))) for count in range(MAX_COUNT + 1)]


def known(text: str) -> list[str]:
    """The words of a folded text that others may be almost like, the most frequent ones."""
    counts = Counter(word for word in KNOWN.findall(text) if not word.isdigit() and not is_dense(word))
    if len(counts) > MAX_KNOWN:
        # In an order that follows from the text alone: a replay gives the same rows.
        return sorted(counts, key=lambda word: (-counts[word], word))[:MAX_KNOWN]
    return list(counts)
