"""Where in its texts a hit has what was sought: the line and what stands there, out of the text as it is stored."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from domain.artifacts.skills import Skill
from projections.read.kinds import KINDS
from projections.read.sides import BODY
from projections.search.find import Found, Hit, Place
from projections.write.search import Field
from projections.write.words import OVERLAP, PART, fold, is_dense
from store.postgres.connection import Connection

MAX_EXCERPT = 300  # characters
BEFORE = 80  # of them stand before what was found, in a longer line
MAX_BYTES = 8_000_000  # of texts that the hits of a page are shown out of; it ends where they would be more
MAX_LOOKED = 500  # places in a text of which the line with the most terms is shown

# contents_pkey
SIZES = "SELECT digest, octet_length(bytes) FROM contents WHERE digest = ANY(%s)"
READ = "SELECT digest, bytes FROM contents WHERE digest = ANY(%s)"


BEGIN, END = r"(?<![^\W_])", r"(?![^\W_])"  # of a word

MatchedField = Literal["name", "description", "body", "file_path", "file_content"]


class Match(msgspec.Struct, frozen=True):
    """``path`` and ``line`` (from 1) are those of a body or file; of the path of a file, there is no line."""

    matched_field: MatchedField
    path: str | None
    line: int | None
    excerpt: str


class Shown(msgspec.Struct, frozen=True):
    hit: Hit
    description: str
    matches: list[Match]


class _Details(msgspec.Struct):
    description: str = ""


async def texts_of(conn: Connection, hits: Sequence[Hit]) -> tuple[int, Mapping[str, bytes]]:
    """How many of the hits can be shown at once (at least one), and the contents of their places by digest in hex."""
    wanted = {
        place.digest
        for hit in hits
        for place in hit.places
        if place.field in (Field.BODY, Field.FILE_CONTENT)
    }
    if not wanted:
        return len(hits), {}
    rows = await (await conn.execute(SIZES, (list(map(bytes.fromhex, wanted)),), binary=True)).fetchall()
    sizes = {digest.hex(): size for digest, size in rows}
    taken: set[str] = set()
    left = MAX_BYTES
    count = 0
    for hit in hits:
        more = {place.digest for place in hit.places} & sizes.keys() - taken
        left -= sum(sizes[digest] for digest in more)
        if left < 0 and count:
            break
        taken |= more
        count += 1
    rows = await (await conn.execute(READ, (list(map(bytes.fromhex, taken)),), binary=True)).fetchall()
    return count, {digest.hex(): data for digest, data in rows}


def show(found: Found, count: int, texts: Mapping[str, bytes]) -> list[Shown]:
    """The first ``count`` hits with their matches; takes some milliseconds."""
    patterns = [_pattern(words) for words in found.sought]
    return [_shown(hit, patterns, texts) for hit in found.hits[:count]]


def _shown(hit: Hit, patterns: Sequence[re.Pattern[str]], texts: Mapping[str, bytes]) -> Shown:
    description = _description(hit, hit.details)
    looked_in = description if hit.last_details is None else _description(hit, hit.last_details)
    matches = [
        match
        for place in hit.places
        if (match := _match(hit, looked_in, place, [patterns[nth] for nth in place.terms], texts)) is not None
    ]
    if not matches:
        matches = [Match("name", None, None, hit.name)]
    return Shown(hit, description, matches)


def _description(hit: Hit, details: bytes) -> str:
    return msgspec.json.decode(details, type=_Details).description if hit.kind == Skill.KIND else ""


def _match(
    hit: Hit, description: str, place: Place, patterns: Sequence[re.Pattern[str]], texts: Mapping[str, bytes]
) -> Match | None:
    field = Field(place.field)
    if field is Field.NAME:
        return Match("name", None, None, hit.name)
    if field is Field.FILE_PATH:
        return Match("file_path", place.path, None, _around(place.path, _find(place.path, patterns)))
    if field is Field.DESCRIPTION:
        return Match("description", None, None, _around(description, _find(description, patterns)))
    data = texts.get(place.digest)
    text = KINDS[hit.kind].readable(data) if data is not None else None
    if text is None:
        return None
    start = place.part * PART
    at = start + _find(text[start : start + PART + OVERLAP], patterns)
    first = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    line = text[first : end if end >= 0 else len(text)]
    is_prompt = hit.kind != Skill.KIND
    path = None if is_prompt else BODY if field is Field.BODY else place.path
    return Match(
        "body" if field is Field.BODY else "file_content",
        path,
        text.count("\n", 0, first) + 1,
        _around(line, at - first),
    )


def _pattern(words: Collection[str]) -> re.Pattern[str]:
    """Finds each of the words in a folded text, as words; symbols and phrases as they are, over line ends too."""
    plain = [word for word in words if word.isalnum() and not is_dense(word)]
    others = [_as_sought(word) for word in words if word not in plain]
    # Whether a word begins is looked at once in each place, not once for each word.
    return re.compile("|".join([*([f"{BEGIN}(?:{'|'.join(plain)}){END}"] if plain else ()), *others]))


def _as_sought(text: str) -> str:
    escaped = r"\s+".join(map(re.escape, text.split(" ")))
    if is_dense(text):
        return escaped
    return (BEGIN if text[0].isalnum() else "") + escaped + (END if text[-1].isalnum() else "")


def _find(text: str, patterns: Sequence[re.Pattern[str]]) -> int:
    """Where in the text the line begins to have most of what is sought; 0 when it has nothing."""
    folded = fold(text)
    lines: dict[int, tuple[set[int], int]] = {}
    for number, pattern in enumerate(patterns):
        for looked, found in enumerate(pattern.finditer(folded)):
            if looked >= MAX_LOOKED:
                break
            line = folded.rfind("\n", 0, found.start()) + 1
            terms, first = lines.setdefault(line, (set(), found.start()))
            terms.add(number)
            lines[line] = terms, min(first, found.start())
    if not lines:
        return 0
    line, (_, first) = max(lines.items(), key=lambda item: (len(item[1][0]), -item[0]))
    if len(folded) == len(text):
        return first
    # Folding makes characters more or fewer, lines never.
    begin = 0
    for _ in range(folded.count("\n", 0, line)):
        begin = text.index("\n", begin) + 1
    end = text.find("\n", begin)
    length = (end if end >= 0 else len(text)) - begin
    return begin + _unfolded(text[begin : begin + length], first - line)


def _unfolded(line: str, at: int) -> int:
    """Where in a line the character is that is at ``at`` once it is folded."""
    low, high = 0, len(line)
    while low < high:
        middle = (low + high) // 2
        if len(fold(line[:middle])) < at:
            low = middle + 1
        else:
            high = middle
    return low


def _around(line: str, at: int) -> str:
    """The line, or what stands around ``at`` in it."""
    kept = line.strip()
    if len(kept) <= MAX_EXCERPT:
        return kept
    start = max(0, min(at - BEFORE, len(line) - MAX_EXCERPT))
    return line[start : start + MAX_EXCERPT].strip()
