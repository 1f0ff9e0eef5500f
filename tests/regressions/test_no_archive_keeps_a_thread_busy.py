"""A gzipped tar of 205 bytes kept a thread for ever, one of a few KB held the interpreter's lock for 19 s, and 40,000 empty
gzip members took quadratic time. Without the mending these take minutes or have no end; the time-out is only a fence.
"""

import struct
import zlib
from collections.abc import Callable

import pytest

from cli.client.transfer import LARGEST
from domain.formats.archives import unpack
from tests.support.archives import send
from tests.support.raw_archives import (
    EMPTY_BLOCK,
    EMPTY_MEMBER,
    SKILL,
    SKILL_MD,
    gzipped,
    header,
    member,
    padded,
    pax,
    raw_zip,
    record,
    tar_gz,
    zipped,
)
from tests.support.space import Space, refusal

pytestmark = pytest.mark.timeout(30)


def codes(data: bytes) -> set[str]:
    return {problem.code for problem in unpack(data).problems}


def pieces() -> bytes:
    """A member that gives a byte for each 4 KB: the library put each behind a copy of what it had."""
    first = zlib.compressobj(1, zlib.DEFLATED, -15)
    start, more = b"x" * 990_000, 4000
    raw = first.compress(start) + first.flush(zlib.Z_SYNC_FLUSH)
    data = raw + (EMPTY_BLOCK * 820 + b"\0\1\0\xfe\xffy") * more + b"\3\0"
    content = start + b"y" * more
    md = zlib.compressobj(9, zlib.DEFLATED, -15)
    skill_md = md.compress(SKILL_MD) + md.flush()
    return raw_zip(
        [
            (b"SKILL.md", skill_md, zlib.crc32(SKILL_MD), len(SKILL_MD)),
            (b"a", data, zlib.crc32(content), len(content)),
        ],
        8,
    )


DAMAGED = {"damaged_archive"}
SPARSE = [record(b"GNU.sparse.%d" % n, b"") for n in range(2500)]
ARCHIVES: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    # Tar
    "a size in pax": (lambda: tar_gz(pax(record(b"size", b"99999999999999")), header(b"a")), DAMAGED),
    "a size in pax for all": (
        lambda: tar_gz(pax(record(b"size", b"99999999999999"), kind=b"g"), header(b"a")),
        DAMAGED,
    ),
    "a size in pax below zero": (lambda: tar_gz(pax(record(b"size", b"-1024")), header(b"a")), DAMAGED),
    "a size of digits": (lambda: tar_gz(pax(record(b"size", b"1" * 60_000)), header(b"a")), DAMAGED),
    "digits in pax": (lambda: tar_gz(pax(b"1" * 102_400), header(b"a")), DAMAGED),
    "digits in a small pax": (lambda: tar_gz(pax(b"1" * 60_000), header(b"a")), DAMAGED),
    "a record of no bytes": (lambda: tar_gz(pax(b"0 a=b\n"), header(b"a")), DAMAGED),
    "a record that ends in itself": (lambda: tar_gz(pax(b"1 a=b\n"), header(b"a")), DAMAGED),
    "a record beyond the end": (lambda: tar_gz(pax(b"99999999999 a=b\n"), header(b"a")), DAMAGED),
    "many records": (lambda: tar_gz(*[pax(b"6 a=b\n" * 10_000) + header(b"a")] * 800), DAMAGED),
    "what is told of all": (lambda: tar_gz(pax(*SPARSE, kind=b"g"), *[header(b"a")] * 9000), set()),
    "a size in base 256": (lambda: tar_gz(header(b"a", b"\x80" + b"\xff" * 11)), DAMAGED),
    "one below zero": (lambda: tar_gz(header(b"a", b"\xff" * 12)), DAMAGED),
    "one that turns around": (lambda: tar_gz(header(b"a", b"\xff" * 10 + b"\xfc\x00")), DAMAGED),
    "a size with a sign": (lambda: tar_gz(header(b"a", b"-0000002000\0")), DAMAGED),
    "a long name": (lambda: tar_gz(member(b"L", b"a" * 5_000_000, b"L"), header(b"a")), DAMAGED),
    "the size of a long name": (lambda: tar_gz(header(b"L", b"\x80" + b"\x7f" * 11, b"L")), DAMAGED),
    "a long name for nothing": (lambda: tar_gz(member(b"L", b"a", b"L")), DAMAGED),
    "long names in a row": (lambda: tar_gz(*[member(b"L", b"a", b"L")] * 50_000, header(b"a")), DAMAGED),
    "pax headers in a row": (lambda: tar_gz(*[pax()] * 50_000, header(b"a")), DAMAGED),
    "holes that go on": (lambda: gzipped(SKILL + header(b"a", 0, b"S", more=b"\0" * 96 + b"\1")), DAMAGED),
    "holes that go on and on": (
        lambda: gzipped(SKILL + header(b"a", 0, b"S", more=b"\0" * 96 + b"\1") + (b"\1" * 512) * 60_000),
        DAMAGED,
    ),
    # Gzip
    "members": (lambda: EMPTY_MEMBER * 40_000, DAMAGED),
    "members with zeros between": (lambda: (EMPTY_MEMBER + bytes(800)) * 40_000, DAMAGED),
    "zeros behind": (lambda: tar_gz() + bytes(30_000_000), set()),
    "blocks of nothing": (lambda: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + EMPTY_BLOCK * 6_000_000, DAMAGED),
    # Zip
    "extra fields": (lambda: zipped([(b"%d" % n, b"") for n in range(400)], extra=extra(65_000)), DAMAGED),
    "many extra fields": (
        lambda: zipped([(b"%d" % n, b"") for n in range(6000)], extra=extra(4000)),
        DAMAGED,
    ),
    "deep folders": (
        lambda: zipped([(b"a/" * 240 + b"%d" % n, b"") for n in range(9900)]),
        {"too_many_files"},
    ),
    "long folders": (
        lambda: zipped([(b"a/" * 32_000 + b"%d" % n, b"") for n in range(240)]),
        {"max_length", "too_many_problems"},
    ),
    "pieces": (pieces, set()),
}


def extra(size: int) -> bytes:
    return struct.pack("<HH", 0x9999, 0) * (size // 4)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_takes_time_in_proportion(name: str) -> None:
    make, expected = ARCHIVES[name]
    told = codes(make())

    assert expected <= told
    if not expected:
        assert "damaged_archive" not in told


@pytest.mark.parametrize(
    "sparse",
    [
        # As GNU tar has them: of old, and as pax 0.0, 0.1 and 1.0.
        header(b"sparse", 3, b"S", more=(b"%011o\0" % 0 + b"%011o\0" % 3) * 2) + padded(b"abc"),
        header(b"sparse", 3, b"S", more=bytes(96) + b"\1")
        + bytes(504)
        + b"\1"
        + bytes(7)
        + bytes(512)
        + padded(b"abc"),
        pax(
            record(b"GNU.sparse.size", b"9"),
            record(b"GNU.sparse.numblocks", b"1"),
            record(b"GNU.sparse.offset", b"0"),
            record(b"GNU.sparse.numbytes", b"3"),
        )
        + member(b"sparse", b"abc"),
        pax(record(b"GNU.sparse.map", b"0,3"), record(b"GNU.sparse.name", b"sparse"))
        + member(b"GNUSparseFile.1/sparse", b"abc"),
        pax(
            record(b"GNU.sparse.major", b"1"),
            record(b"GNU.sparse.minor", b"0"),
            record(b"GNU.sparse.name", b"sparse"),
            record(b"GNU.sparse.realsize", b"99999999999"),
        )
        + member(b"GNUSparseFile.1/sparse", padded(b"1\n0\n3\n") + b"abc"),
    ],
)
def test_a_sparse_file_of_any_form_is_no_plain_file(sparse: bytes) -> None:
    unpacked = unpack(tar_gz(sparse, member(b"b", b"after")))

    assert [(problem.code, problem.path) for problem in unpacked.problems] == [("not_a_file", "sparse")]
    assert dict(unpacked.files)["b"] == b"after"


def test_what_other_programs_write_is_read() -> None:
    long = b"d/" * 60 + b"long"
    unpacked = unpack(
        tar_gz(
            pax(record(b"comment", b"c0ffee"), kind=b"g"),
            header(b"base256", b"\x80" + b"\0" * 10 + b"\3") + padded(b"abc"),
            member(b"L", long + b"\0", b"L") + member(b"d/d", b"long"),
            pax(record(b"path", b"e/pax"), record(b"size", b"3")) + header(b"short") + padded(b"pax"),
            header(b"name", 1, prefix=b"prefix") + padded(b"p"),
            header(b"spaces", b"       1 \0  ") + padded(b"s"),
            member(b"contiguous", b"c", b"7"),
            header(b"v7/", 0, b"\0"),
            member(b"e/old", b"o", b"\0"),
        )
    )

    assert unpacked.problems == ()
    assert dict(unpacked.files) == {
        "base256": b"abc",
        long.decode(): b"long",
        "e/pax": b"pax",
        "prefix/name": b"p",
        "spaces": b"s",
        "contiguous": b"c",
        "e/old": b"o",
    }


def test_a_nameless_entry_of_a_zip_is_no_crash() -> None:
    """Older libraries looked at the last letter of a name without one."""
    for name in (b"", b"\0", b"\0a/", b"/", b"./", b"."):
        assert unpack(zipped([(name, b"")])).skill_md == SKILL_MD


def test_what_only_looks_like_an_entry_of_a_zip_is_no_extra_field() -> None:
    """A program that reads zips has such bytes in it."""
    data = b"PK\1\2" + bytes(range(255, 0, -1)) * 4

    assert unpack(zipped([(b"a", data)])).files == (("a", data),)


def test_a_long_folder_is_not_told_with_every_problem() -> None:
    folder = b"x" * 60_000
    packed = zipped(
        [(folder + b"/SKILL.md", SKILL_MD), *[(b"%s/..%d/.." % (folder, n), b"") for n in range(90)]]
    )

    assert sum(len(problem.message) + len(problem.path) for problem in unpack(packed).problems) < 100_000


@pytest.mark.parametrize(
    "name", ["a size in pax", "digits in a small pax", "many records", "members", "many extra fields"]
)
def test_what_a_pull_gets_is_read_by_the_same_rules(name: str) -> None:
    make, _ = ARCHIVES[name]

    assert any(problem.severity == "error" for problem in unpack(make(), LARGEST).problems)


async def test_an_import_is_refused_and_the_next_one_is_made(space: Space) -> None:
    for name in ("a size in pax", "digits in a small pax", "members"):
        answer = await send(space, ARCHIVES[name][0]())
        assert refusal(answer) == (400, "invalid_skill", "file")
        assert [problem["code"] for problem in answer.json()["problems"]] == ["damaged_archive"]

    await space.ok(201, await send(space, tar_gz()))
