"""Archives: the same bytes for the same files, and nothing believed of those that come from elsewhere."""

import gc
import gzip
import hashlib
import io
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.content import check_path, check_tree
from domain.errors import Invalid
from domain.formats.archives import Limits, Unpacked, ZipWriter, unpack, zip_of, zip_size
from tests.support.tars import tar_gz_of

SKILL_MD = b"---\nname: pdf\ndescription: d\n---\n# PDF\n"
TREE = [
    ("SKILL.md", SKILL_MD),
    ("assets/logo.png", b"\x89PNG\r\n\x1a\n\x00\xff"),
    ("empty", b""),
    ("scripts/fill.sh", b"#!/bin/sh\necho\n"),
    ("scripts/größe.txt", "naïve\r\n".encode()),
]
SMALL = Limits(total_bytes=100_000, files=5, file_bytes=1000, skill_md_bytes=2000, entries=50, problems=20)


def codes(unpacked: Unpacked) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in unpacked.problems]


def zip_with(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def tar_with(*entries: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(kind: bytes, name: str = "link") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


# Writing


def test_the_bytes_never_change() -> None:
    assert hashlib.sha256(zip_of(TREE, "pdf")).hexdigest()[:16] == "c13ec584d3fab640"


@pytest.mark.parametrize("folder", ["", "größe"])
def test_a_zip_in_pieces_is_the_whole_zip(folder: str) -> None:
    writer = ZipWriter(folder)
    pieces = [*(writer.add(path, data) for path, data in TREE), writer.end()]

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as made, zipfile.ZipFile(out, "w") as once_more:
        for info, (path, data) in zip(made.infolist(), TREE, strict=True):
            assert info.filename == (f"{folder}/{path}" if folder else path)
            once_more.writestr(info, data)
    assert b"".join(pieces) == out.getvalue() == zip_of(TREE, folder)
    assert zip_size([(path, len(data)) for path, data in TREE], folder) == len(out.getvalue())
    assert all(data in piece for piece, (_, data) in zip(pieces, TREE, strict=False))
    # No file is kept.
    assert len(pieces[-1]) < 1_000


def test_times_owners_and_modes_are_fixed() -> None:
    with zipfile.ZipFile(io.BytesIO(zip_of(TREE, "pdf"))) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        assert archive.testzip() is None
    assert list(entries) == [f"pdf/{path}" for path, _ in TREE]
    assert {info.date_time for info in entries.values()} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in entries.values()} == {zipfile.ZIP_STORED}
    modes = {name: info.external_attr >> 16 for name, info in entries.items()}
    assert modes.pop("pdf/scripts/fill.sh") == stat.S_IFREG | 0o755
    assert set(modes.values()) == {stat.S_IFREG | 0o644}


# Round trip

segment = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=20)


def is_path(path: str) -> bool:
    try:
        return check_path(path) == path and path[1:2] != ":" and ".DS_Store" not in path
    except Invalid:
        return False


def is_tree(paths: list[str]) -> bool:
    try:
        check_tree(paths)
    except Invalid:
        return False
    return True


paths = st.lists(segment, min_size=1, max_size=4).map("/".join).filter(is_path)
trees = (
    st.dictionaries(paths, st.binary(max_size=300), max_size=5)
    .filter(lambda files: is_tree(list(files)))
    .map(lambda files: {path: data for path, data in files.items() if not data.startswith(b"\0\5\x16\7")})
)


@settings(deadline=None)
@given(trees, st.binary(max_size=500), st.sampled_from(["", "pdf"]), st.sampled_from([zip_of, tar_gz_of]))
def test_what_is_packed_is_unpacked(files: Any, skill_md: bytes, folder: str, pack: Any) -> None:
    tree = [("SKILL.md", skill_md), *sorted(files.items())]

    unpacked = unpack(pack(tree, folder))

    assert unpacked == Unpacked(skill_md, tuple(sorted(files.items())), folder, ())


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs zip")
@pytest.mark.parametrize("options", [["-r"], ["-r", "-0"], ["-rD"]])
def test_zips_of_the_usual_program_are_read(tmp_path: Path, options: list[str]) -> None:
    for path, data in TREE:
        target = tmp_path / "pdf" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    packed = subprocess.run(
        ["zip", "-q", *options, "-", "pdf"], cwd=tmp_path, capture_output=True, check=True
    ).stdout

    assert unpack(packed) == Unpacked(SKILL_MD, tuple(TREE[1:]), "pdf", ())


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_form_are_read(tmp_path: Path, form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        for path, data in TREE:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(data)
        archive.add(tmp_path, arcname=".")

    assert unpack(out.getvalue()) == Unpacked(SKILL_MD, tuple(TREE[1:]), "", ())


def test_a_zip_that_was_streamed_or_speaks_zip64_is_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in TREE:
            with archive.open(path, "w", force_zip64=True) as file:
                file.write(data)

    assert unpack(pipe.data) == Unpacked(SKILL_MD, tuple(TREE[1:]), "", ())


# Where SKILL.md is


def test_macos_leaves_more_in_archives_than_was_put_there() -> None:
    apple = b"\0\5\x16\7" + bytes(40)
    packed = zip_with(
        ("__MACOSX/._pdf", apple),
        ("__MACOSX/pdf/._SKILL.md", apple),
        (".DS_Store", b"x"),
        ("pdf/", b""),
        ("pdf/.DS_Store", b"x"),
        ("pdf/SKILL.md", SKILL_MD),
        ("pdf/a", b"a"),
    )

    unpacked = unpack(packed)

    assert unpacked.skill_md == SKILL_MD
    assert unpacked.files == (("a", b"a"),)
    assert unpacked.folder == "pdf"
    [warning] = unpacked.problems
    assert (warning.code, warning.severity) == ("ignored_files", "warning")
    assert "(4)" in warning.message
    assert unpack(tar_with(("./._SKILL.md", apple), ("./SKILL.md", SKILL_MD))).skill_md == SKILL_MD
    # A file of the skill that only is called so stays.
    assert unpack(zip_with(("SKILL.md", SKILL_MD), ("._a", b"mine"))).files == (("._a", b"mine"),)


def test_a_name_without_the_mark_of_utf8_may_be_utf8() -> None:
    raw = "größe.txt".encode()
    packed = zip_with(("SKILL.md", SKILL_MD), ("X" * len(raw), b"a"), method=zipfile.ZIP_STORED)

    assert unpack(packed.replace(b"X" * len(raw), raw)).files == (("größe.txt", b"a"),)
    # And what is no UTF-8 is what the format says it is.
    assert unpack(packed.replace(b"X" * len(raw), b"\x94" * len(raw))).files == (("ö" * len(raw), b"a"),)


@pytest.mark.parametrize("pack", [zip_with, tar_with])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["README.md"], [("skill_md_missing", "")]),
        (["a/b/SKILL.md"], [("skill_md_missing", "")]),
        (["a/SKILL.md", "b/SKILL.md"], [("several_skills", "a/SKILL.md"), ("several_skills", "b/SKILL.md")]),
        (["SKILL.md", "skill.md"], [("skill_md_clash", "SKILL.md"), ("skill_md_clash", "skill.md")]),
        (["a/SKILL.md", "b/x", "y"], [("outside_folder", "b/x"), ("outside_folder", "y")]),
        (["SKILL.md", "a", "a/b"], [("path_conflict", "a/b")]),
        (["SKILL.md", "b", "c", "d", "e", "f", "g"], [("too_many_files", "")]),
        (["skill.md"], [("skill_md_case", "skill.md")]),
        (["SKILL.md", "docs/SKILL.md"], []),
    ],
)
def test_where_skill_md_must_be(pack: Any, names: list[str], expected: list[tuple[str, str]]) -> None:
    assert codes(unpack(pack(*[(name, SKILL_MD) for name in names]), SMALL)) == expected


def test_a_skill_md_that_lies_too_deep_is_named() -> None:
    [problem] = unpack(zip_with(("repo/skills/pdf/SKILL.md", SKILL_MD))).problems

    assert "repo/skills/pdf" in problem.message


# Hostile names and kinds


@pytest.mark.parametrize("pack", [zip_with, tar_with])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../evil", "unsafe_path"),
        ("pdf/../../evil", "unsafe_path"),
        ("/etc/passwd", "unsafe_path"),
        ("C:/evil", "unsafe_path"),
        ("c:evil", "unsafe_path"),
        ("a\\..\\evil", "unsafe_path"),
        ("a//b", "unsafe_path"),
        ("a/./b", "unsafe_path"),
        ("a\nb", "invalid_path"),
        ("a" * 501, "max_length"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(pack: Any, name: str, code: str) -> None:
    unpacked = unpack(pack(("SKILL.md", SKILL_MD), (name, b"x")))

    [problem] = unpacked.problems
    assert (problem.code, problem.severity) == (code, "error")
    assert problem.path == name.replace("\n", "\\x0a")[:500]
    assert unpacked.skill_md == SKILL_MD


def test_names_that_are_no_utf8_are_refused() -> None:
    plain = zip_with(("SKILL.md", SKILL_MD), ("ä", b"x"), method=zipfile.ZIP_STORED)
    [problem] = unpack(plain.replace("ä".encode(), b"\xff\xfe")).problems
    assert problem.severity == "error"
    assert "utf-8" in problem.message

    tar = tarfile.TarInfo("bad-\udcff")
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w:gz", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        archive.addfile(tar, io.BytesIO())
    assert codes(unpack(out.getvalue()))[0] == ("invalid_path", "bad-\\udcff")


def test_everything_but_files_is_refused_and_all_is_told_at_once() -> None:
    packed = tar_with(
        ("SKILL.md", SKILL_MD),
        (special(tarfile.SYMTYPE, "soft"), b""),
        (special(tarfile.LNKTYPE, "hard"), b""),
        (special(tarfile.CHRTYPE, "char"), b""),
        (special(tarfile.BLKTYPE, "block"), b""),
        (special(tarfile.FIFOTYPE, "pipe"), b""),
        ("../up", b""),
        ("a", b""),
        ("a", b""),
        ("big", b"x" * 1001),
    )

    assert codes(unpack(packed, msgspec.structs.replace(SMALL, files=20))) == [
        *[("not_a_file", name) for name in ("soft", "hard", "char", "block", "pipe")],
        ("unsafe_path", "../up"),
        ("duplicate_path", "a"),
        ("max_size", "big"),
    ]


def test_a_link_in_place_of_skill_md_is_told_once() -> None:
    unpacked = unpack(tar_with((special(tarfile.SYMTYPE, "SKILL.md"), b"")))

    assert unpacked.skill_md is None
    assert codes(unpacked) == [("not_a_file", "SKILL.md")]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_zip_holds_links_and_devices_by_their_mode(kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16

    assert codes(unpack(zip_with(("SKILL.md", SKILL_MD), (info, b"/etc/passwd")))) == [("not_a_file", "link")]


def test_a_sparse_file_is_refused() -> None:
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": "9",
    }

    assert codes(unpack(tar_with(("SKILL.md", SKILL_MD), (info, b"x")))) == [("not_a_file", "sparse")]


# Hostile sizes and structures


def test_duplicates_encryption_and_rare_compression_in_a_zip() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        packed = zip_with(("SKILL.md", SKILL_MD), ("a", b"1"), ("a", b"2"))
    assert codes(unpack(packed)) == [("duplicate_path", "a")]

    secret = bytearray(zip_with(("SKILL.md", SKILL_MD), ("secret", b"x")))
    for signature, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        secret[secret.rindex(signature) + at] |= 1
    assert codes(unpack(bytes(secret))) == [("encrypted", "secret")]

    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = zip_with(("SKILL.md", SKILL_MD), method=method)
        assert codes(unpack(packed)) == [("unsupported_compression", "SKILL.md")]


def test_a_checksum_that_does_not_fit_is_told_with_the_file() -> None:
    packed = zip_with(("SKILL.md", SKILL_MD), ("a", b"right"), method=zipfile.ZIP_STORED)
    assert codes(unpack(packed.replace(b"right", b"wrong"))) == [("damaged_file", "a")]

    tar = bytearray(tar_gz_of(TREE))
    tar[600] ^= 1
    assert codes(unpack(bytes(tar))) == [("damaged_archive", "")]


def bomb(size: int) -> bytes:
    return bytes(size)


@pytest.mark.parametrize("pack", [zip_with, tar_with])
def test_a_bomb_is_never_unpacked_beyond_the_limit(pack: Any) -> None:
    packed = pack(("SKILL.md", SKILL_MD), *[(f"zeros-{n}", bomb(900_000)) for n in range(60)])
    assert len(packed) < 200_000

    tracemalloc.start()
    unpacked = unpack(packed, Limits(total_bytes=2_000_000, entries=100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert codes(unpacked) == [("archive_too_big", "")]
    assert peak < 12_000_000


def test_a_zip_that_lies_about_a_size_is_not_inflated_further() -> None:
    packed = bytearray(zip_with(("SKILL.md", SKILL_MD), ("zeros", bomb(50_000_000))))
    for signature, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        start = packed.rindex(signature) + at
        packed[start : start + 4] = struct.pack("<I", 10)

    tracemalloc.start()
    unpacked = unpack(bytes(packed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert codes(unpacked) == [("damaged_file", "zeros")]
    assert peak < 1_000_000


def test_one_large_file_in_either_form() -> None:
    assert codes(unpack(zip_with(("SKILL.md", SKILL_MD), ("big", bomb(1_000_001))))) == [("max_size", "big")]
    assert codes(unpack(tar_with(("SKILL.md", SKILL_MD), ("big", bomb(1_000_001))))) == [("max_size", "big")]
    assert codes(unpack(tar_with(("SKILL.md", SKILL_MD), ("big", bomb(1_000_000))))) == []
    # A deeper SKILL.md is a file like any other.
    assert codes(unpack(zip_with(("SKILL.md", bomb(1_500_000)), ("a/SKILL.md", bomb(1_500_000))))) == [
        ("max_size", "a/SKILL.md")
    ]


def test_entries_that_overlap_are_refused() -> None:
    """One compressed kernel that many directory entries point to: the bomb that no single size betrays."""
    packed = zip_with(("SKILL.md", SKILL_MD), ("a", b"x" * 500), ("b", b"x" * 500), method=zipfile.ZIP_STORED)
    crafted = bytearray(packed)
    offset_of_a = packed.index(b"PK\3\4", 1)
    last = packed.rindex(b"PK\1\2")
    crafted[last + 42 : last + 46] = struct.pack("<I", offset_of_a)

    [problem] = unpack(bytes(crafted)).problems
    assert problem.code == "damaged_archive"
    assert "overlap" in problem.message


def test_more_entries_than_any_skill_has() -> None:
    names = [(f"d/{n}/", b"") for n in range(60)]
    assert codes(unpack(zip_with(*names), SMALL)) == [("too_many_entries", "")]
    assert codes(unpack(tar_with(*[(f"f{n}", b"") for n in range(60)]), SMALL)) == [("too_many_entries", "")]


def test_a_directory_of_half_a_million_entries_is_not_read() -> None:
    entry = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"a"
    )
    directory = entry * 500_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(directory), 4, 0)
    data = b"PK\3\4" + directory + end

    tracemalloc.start()
    unpacked = unpack(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert codes(unpacked) == [("too_many_entries", "")]
    assert peak < 100_000


def test_problems_without_end_are_cut() -> None:
    told = codes(unpack(tar_with(*[(f"../{n}", b"") for n in range(40)]), SMALL))

    assert len(told) == 21
    assert told[-1] == ("too_many_problems", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"hello",
        b"\x1f\x8b",
        b"PK\3\4",
        b"PK\5\6",
        # Without the time: the cases have the same names in every process of a run.
        gzip.compress(b"", mtime=0),
        gzip.compress(b"no tar" * 200, mtime=0),
    ],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    unpacked = unpack(data)

    assert unpacked.skill_md is None
    assert [problem.severity for problem in unpacked.problems] == ["error"]


def test_a_tar_that_goes_on_after_a_bad_header_is_damaged() -> None:
    plain = bytearray(gzip.decompress(tar_with(("SKILL.md", SKILL_MD), ("lost", b"x"))))
    plain[plain.index(b"lost")] = 0xFF

    assert codes(unpack(gzip.compress(bytes(plain)))) == [("damaged_archive", "")]


def test_a_gzip_may_come_in_members_and_with_padding() -> None:
    plain = gzip.decompress(tar_gz_of(TREE))
    packed = gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]) + bytes(100)

    assert unpack(packed).files == tuple(TREE[1:])
    assert codes(unpack(packed[:-130])) == [("damaged_archive", "")]
    assert codes(unpack(packed + b"more")) == [("damaged_archive", "")]


# Whatever comes


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([zip_of(TREE, "pdf"), zip_with(*TREE), tar_gz_of(TREE), tar_with(*TREE)]),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 100),
)
def test_damage_anywhere_is_a_problem_and_never_a_crash(
    packed: bytes, damage: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(packed)
    for place, patch in damage:
        start = place % len(data)
        data[start : start + len(patch)] = patch
    unpacked = unpack(bytes(data[: len(data) - cut]), SMALL)

    errors = [problem for problem in unpacked.problems if problem.severity == "error"]
    if not errors:
        assert unpacked.skill_md is not None
        for path, _ in unpacked.files:
            assert check_path(path) == path


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=12)), max_size=6))
def test_a_damaged_tar_in_a_sound_gzip_is_no_crash(damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(gzip.decompress(tar_with(*TREE)))
    for place, patch in damage:
        # Most of a tar is padding; aim at the headers.
        start = (place % 11) * 512 + (place // 11) % 512
        data[start : start + len(patch)] = patch
    unpack(gzip.compress(bytes(data), compresslevel=1), SMALL)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08\0"]))
def test_any_bytes_are_no_crash(data: bytes, magic: bytes) -> None:
    unpack(magic + data)


def test_a_zip_that_was_not_read_to_its_end_is_collected_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector takes the parts of a cycle in no order."""
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    for _ in range(3):
        writer = ZipWriter()
        writer.add("a.txt", b"a")
        cycle: list[object] = [writer]
        cycle.append(cycle)
        del writer, cycle
        gc.collect()
    assert complaints == []
