"""The fingerprints by which clients of ClawHub find the version of a folder: SHA-256 over the lines ``path:sha256``, sorted by path.

Which files a client counts, and how it sorts, is its own: it passes over what begins with a dot, and JavaScript compares as people
do, `scripts/run.sh` before `SKILL.md`. A version has one for each way.
"""

import unicodedata
from collections.abc import Sequence
from hashlib import sha256

from domain.content import Ref

# The order of ASCII by the root collation of Unicode, in which digits follow, and then letters.
SIGNS = "\t\n\v\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
RANKS = {sign: rank for rank, sign in enumerate(SIGNS)}

Key = tuple[list[tuple[int, int, str]], list[str], list[bool]]


def collated(text: str) -> Key:
    """A key by which texts sort as in JavaScript: letters first, then their accents, then their case."""
    letters, accents, cases = [], [], []
    for char in unicodedata.normalize("NFD", text):
        if unicodedata.combining(char):
            accents.append(char)
            continue
        folded = char.casefold()
        rank = RANKS.get(char, -1)
        letters.append((0, rank, "") if rank >= 0 else (1 if char.isdigit() else 2, 0, folded))
        cases.append(char != folded)
    return letters, accents, cases


def fingerprints(listed: Sequence[tuple[str, Ref]]) -> set[str]:
    """Those of a version with these files, sorted by path."""
    shown = [one for one in listed if not any(part.startswith(".") for part in one[0].split("/"))]
    found = set()
    for files in (listed, shown):
        found.add(_fingerprint(files))
        found.add(_fingerprint(sorted(files, key=lambda one: collated(one[0]))))
    return found


def _fingerprint(files: Sequence[tuple[str, Ref]]) -> str:
    return sha256("\n".join(f"{path}:{ref.sha256}" for path, ref in files).encode()).hexdigest()
