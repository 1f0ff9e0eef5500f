"""Good archives made bad in a thousand ways, always the same ones: reading never raises, and does no more than there are bytes."""

import gzip
import io
import tarfile
import zipfile
from random import Random

import pytest

from domain.formats import incoming, skill_md, tar
from domain.formats.archives import Limits, zip_of
from tests.support.raw_archives import header, member, padded, pax, record, summed
from tests.support.tars import tar_gz_of

pytestmark = pytest.mark.timeout(60)

SMALL = Limits(total_bytes=100_000, files=5, file_bytes=1000, skill_md_bytes=2000, entries=50, problems=20)
ROUNDS = 1000
SEEDS = range(4)

MD = b"---\nname: pdf\ndescription: d\nmetadata:\n  a: [1, {b: c}]\nmodel: opus\n---\n# PDF\n[a](b.md)\n"
TREE = [("SKILL.md", MD), ("b.md", b"b" * 700), ("d/" * 60 + "long", b"x"), ("größe.sh", b"#!/bin/sh\n")]

# What fields of an archive are filled with: least and most, signs, one too many, and magics.
NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
)
DIGITS: tuple[bytes, ...] = (
    b"99999999999",
    b"77777777777\0",
    b"-0000000001\0",
    b"0x000000010\0",
    b"           \0",
    b"\x80" + b"\xff" * 11,
)
DIGITS += (b"\xff" * 12, b"\x80" + bytes(10) + b"\7", b"1_000000000\0", b"\0" * 12)
PIECES: tuple[bytes, ...] = (
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
    b"PK\6\6",
    b"PK\6\7",
    b"\x1f\x8b\x08\0",
    b"ustar\x0000",
    b"\0" * 512,
)
PIECES += (
    b"../",
    b"/",
    b"\\",
    b"SKILL.md",
    b"\xff\xfe",
    record(b"size", b"9" * 18),
    record(b"path", b"../x"),
)
KINDS = b"01234567LKxXgSVMDNA\0\xff"


def tars() -> list[bytes]:
    """Tars of all forms, without their gzip."""
    made = [gzip.decompress(tar_gz_of(TREE, "pdf"))]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name, data in TREE:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        made.append(padded(out.getvalue().rstrip(b"\0")) + bytes(1024))
    sparse = header(b"s", 3, b"S", more=bytes(96) + b"\1") + bytes(512) + padded(b"abc")
    told = pax(record(b"path", b"e/pax"), record(b"size", b"3"), record(b"GNU.sparse.map", b"0,3"))
    made.append(member(b"SKILL.md", MD) + sparse + told + member(b"p", b"pax") + bytes(1024))
    return made


def zips() -> list[bytes]:
    made = [zip_of(TREE, "pdf")]
    for zip64 in (False, True):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in TREE:
                with archive.open(name, "w", force_zip64=zip64) as file:
                    file.write(data)
            archive.comment = b"PK\5\6 comment"
        made.append(out.getvalue())
    return made


def damaged(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Some bytes changed, cut out, put in, or taken from another archive."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(6):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[at + random.randint(1, 600) :]
            case 3:
                piece = random.choice(PIECES)
                data = data[:at] + piece + data[at + random.choice((0, len(piece))) :]
            case 4:
                size = random.choice((1, 2, 4, 8))
                number = random.choice(NUMBERS) % 256**size
                data = data[:at] + number.to_bytes(size, "little") + data[at + size :]
            case _:
                other = random.choice(others)
                start = random.randrange(len(other))
                data = data[:at] + other[start : start + random.randint(1, 3000)] + data[at:]
    return data


def refilled(data: bytes, random: Random) -> bytes:
    """Headers of a tar with other fields, and the checksums that fit; or with blocks moved."""
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    for _ in range(random.randint(1, 4)):
        headers = [n for n, block in enumerate(blocks) if block[257:262] == b"ustar"]
        if not headers:
            break
        n = random.choice(headers)
        block = bytearray(blocks[n])
        match random.randrange(6):
            case 0 | 1:
                block[156] = random.choice(KINDS)
            case 2 | 3:
                digits = random.choice(DIGITS)
                block[124 : 124 + len(digits)] = digits
            case 4:
                start = random.choice((0, 90, 257, 345, 386, 482))
                block[start : start + 8] = random.randbytes(8)
            case _:
                blocks.insert(random.randrange(len(blocks)), blocks[n])
        blocks[n] = summed(bytes(block))
    return b"".join(blocks)


def check(data: bytes) -> None:
    """Whatever it is, it is read, within the limits."""
    found = incoming.read(data, SMALL)

    assert len(found.files) <= SMALL.files or found.document is None
    assert sum(len(content) for _, content in found.files) <= SMALL.total_bytes
    assert len(found.problems) < 100
    assert (found.document is None) == bool(found.errors)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_archives_are_read(seed: int) -> None:
    random = Random(seed)
    good = [*zips(), *map(gzip.compress, tars())]
    for _ in range(ROUNDS):
        check(damaged(random.choice(good), good, random))


def damaged_directory(data: bytes, random: Random) -> bytes:
    """A zip with other numbers in the part behind its files, where one byte of all the others would seldom fall."""
    start = data.index(b"PK\1\2")
    for _ in range(random.randint(1, 4)):
        at, size = random.randrange(start, len(data)), random.choice((1, 2, 4, 8))
        number = random.choice((*NUMBERS, start, len(data))) % 256**size
        data = data[:at] + number.to_bytes(size, "little") + data[at + size :]
    return data


@pytest.mark.parametrize("seed", SEEDS)
def test_zips_with_other_directories_are_read(seed: int) -> None:
    random, good = Random(seed), zips()
    for _ in range(ROUNDS):
        check(damaged_directory(random.choice(good), random))


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_tars_in_a_sound_gzip_are_read(seed: int) -> None:
    random, good = Random(seed), tars()
    for _ in range(ROUNDS):
        data = refilled(random.choice(good), random)
        if random.randrange(3) == 0:
            data = damaged(data, good, random)
        check(gzip.compress(data, 1))
        try:
            taken = [512 + len(one.data) for one in tar.members(data)]
        except tar.Damaged:
            continue
        # Each block belongs to one member at most.
        assert sum(taken) <= len(data)


@pytest.mark.parametrize("data", tars())
def test_a_sound_tar_is_read_as_the_library_reads_it(data: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(info.name, archive.extractfile(info).read()) for info in archive if not info.issparse()]  # type: ignore[union-attr]

    assert [(one.name, bytes(one.data)) for one in tar.members(data) if one.kind == "file"] == expected


TOKENS: tuple[str, ...] = (
    "---",
    "\n",
    "\n",
    " ",
    "  ",
    ":",
    ": ",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    ">-\n",
    '"',
)
TOKENS += (
    "'",
    "#",
    " #",
    "%TAG ! x",
    "\t",
    "\r",
    "...",
    "name: pdf\n",
    "description: d\n",
    "metadata:\n",
    "allowed-tools: ",
)
TOKENS += (
    "license",
    "a",
    "é",
    "\u2028",
    "\0",
    "1",
    "<<: ",
    "version: 1\n",
    "model: ",
    "\\ud800",
    "\ufeff",
    "\x85",
)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_frontmatter_is_read(seed: int) -> None:
    random = Random(seed)
    for _ in range(3 * ROUNDS):
        start = random.choice(("", "name: pdf\ndescription: d\n", "{name: pdf, description: d, "))
        text = start + "".join(random.choices(TOKENS, k=random.randint(0, 25)))
        parsed = skill_md.parse(f"---\n{text}\n---\nbody\n".encode())

        assert (parsed.document is None) == any(problem.severity == "error" for problem in parsed.problems)
