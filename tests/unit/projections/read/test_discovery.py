"""What an index says of a skill, and that archives stay the bytes whose digests are stored."""

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import msgspec
import pytest

from domain.formats.archives import zip_of
from projections.read import discovery
from projections.read.discovery import IndexEntry

TREE = bytes(range(32))
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
AT = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)


def entry(*files: str, name: str = "pdf-forms") -> IndexEntry:
    return IndexEntry(name, 3, ID, AT, "Fill in forms.", "ab" * 32, TREE, ("SKILL.md", *files))


def test_archives_are_written_as_when_their_digests_were_stored() -> None:
    # When this fails, the digests in ``archive_digests`` are those of other bytes: raise ``discovery.FORMAT``.
    tree = [
        ("SKILL.md", b"---\nname: a\n---\n"),
        ("scripts/run.sh", b"#!/bin/sh\n"),
        ("\xfc.txt", b"\x00\xff"),
    ]
    assert (
        sha256(zip_of(tree)).hexdigest() == "5e051d6a6ce8248f1c16ec9bcd8516c854500c274a534bd68b8382565828ba42"
    )
    assert discovery.FORMAT == 1


def test_a_skill_of_one_file_is_that_file() -> None:
    index = msgspec.json.decode(discovery.index([entry()], {}))
    assert index["skills"] == [
        {
            "name": "pdf-forms",
            "type": "skill-md",
            "description": "Fill in forms.",
            "url": f"pdf-forms/SKILL.md?version_id={ID}",
            "digest": f"sha256:{'ab' * 32}",
            "files": ["SKILL.md"],
        }
    ]


def test_a_skill_of_several_is_an_archive_as_soon_as_its_digest_is_known() -> None:
    assert msgspec.json.decode(discovery.index([entry("a.txt")], {}))["skills"] == []
    [skill] = msgspec.json.decode(discovery.index([entry("a.txt")], {TREE: b"\x01" * 32}))["skills"]
    assert (skill["type"], skill["url"]) == ("archive", f"pdf-forms.zip?version_id={ID}")
    assert skill["digest"] == f"sha256:{'01' * 32}"


@pytest.mark.parametrize("path", ["a/b.txt", "with blank.md", "a.b/c-d_e~f", "'()*!,;:@&=+$"])
def test_paths_that_an_address_holds_as_they_are(path: str) -> None:
    assert discovery.is_plain(path)


@pytest.mark.parametrize("path", ["a\\b", "a?b", "a#b", "[a]", "50%", "ü", "a..b", "../a", "a\tb", "\u2028"])
def test_paths_that_it_does_not(path: str) -> None:
    assert not discovery.is_plain(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1023 + "😀", "x" * 1023),
        ("😀" * 513, "😀" * 512),
        ("ü" * 1024, "ü" * 1024),
    ],
)
def test_descriptions_are_cut_where_installers_count_them(text: str, expected: str) -> None:
    assert discovery.cut(text) == expected
