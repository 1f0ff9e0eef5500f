"""SKILL.md: what is written is valid for the reference validator and reads back as it was; what people wrote is read."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import skills_ref  # type: ignore[import-untyped]
import strictyaml  # type: ignore[import-untyped]
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.artifacts.skills import FileRef
from domain.content import Content, Ref
from domain.formats.skill_md import Document, Parsed, digest, head, parse, scalar
from domain.formats.spec import problems
from domain.names import check_tool

NASTY = [
    "a: b",
    "a #b",
    "#a",
    "a:",
    ":a",
    "- a",
    "a --- b",
    "---",
    "-----",
    "--- a\n---\nb",
    '"quoted"',
    "'quoted'",
    "it's",
    "back\\slash",
    "yes",
    "Null",
    "NO",
    "~",
    "123",
    "1.5",
    "1_000",
    "2024-01-01",
    "12:30",
    "0x1f",
    ".inf",
    "=",
    "<<",
    "[a]",
    "{a: b}",
    "{{a}}",
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "`a`",
    "|",
    ">",
    "? a",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\u2028b",
    "a\u2029b",
    "a\x85b",
    "a\u00a0b",
    "\ufeffa",
    "a\u200bb",
    "a\x1bb",
    "\x7f",
    "Ärger über",
    "日本語: テスト",
    "😀 smile",
    "a 😀",
    "a\uffffb",
    "a\U0010ffffb",
    "x" * 900 + ": y",
]

texts = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
trimmed = texts.map(str.strip)
filled = trimmed.filter(bool)
tools = st.lists(
    st.one_of(
        st.sampled_from(
            ["Read", "Bash(git log:*)", "Bash(git:*)", "a,b", "mcp__x__y", "x(a", "c)d", "a(b)c(d"]
        ),
        filled.filter(lambda tool: _is_tool(tool)),
    ),
    max_size=5,
).map(tuple)
values = st.recursive(
    st.one_of(
        texts,
        st.integers(-(2**53), 2**53),
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
keys = st.one_of(texts, st.sampled_from(["version", "author", "", "k" * 1100, "\x1b" * 400]))
names = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True).filter(
    lambda name: name != "new"
)
documents = st.builds(
    Document,
    name=names,
    description=filled.map(lambda text: text[:1024].strip()),
    body=texts.filter(lambda text: bool(text.strip())),
    license=trimmed.map(lambda text: text[:255].strip()),
    compatibility=trimmed.map(lambda text: text[:500].strip()),
    allowed_tools=tools,
    metadata=st.dictionaries(keys, values, max_size=5),
    frontmatter=st.sampled_from(
        ["", "model: opus\n", "hooks:\n  a: b\n\n  c: |\n    text\n# no comment\nx: [1, 2]\n"]
    ),
)


def _is_tool(tool: str) -> bool:
    try:
        check_tool(tool)
    except Exception:
        return False
    return True


def text_of(document: Document, number: int = 3) -> bytes:
    return (head(document, number) + document.body).encode()


def read(frontmatter: str, body: str = "Do it.\n") -> Parsed:
    return parse(f"---\n{frontmatter}---\n{body}".encode())


def document_of(frontmatter: str, body: str = "Do it.\n") -> Document:
    parsed = read(frontmatter, body)
    assert parsed.document is not None, parsed.problems
    return parsed.document


def errors_of(parsed: Parsed) -> list[str]:
    return [problem.code for problem in parsed.problems if problem.severity == "error"]


# Writing


def same(document: Document, other: Document) -> bool:
    """Whether both have the same SKILL.md under one version number."""
    return document.body == other.body and head(document, 0) == head(other, 0)


def test_the_keys_stand_in_their_order_and_the_version_stands_last() -> None:
    document = Document(
        name="pdf-tools",
        description="Reads PDFs: text and tables.",
        body="# PDF\n",
        license="MIT",
        compatibility="Needs python",
        allowed_tools=("Read", "Bash(git log:*)"),
        metadata={"version": 2, "author": "me", "tags": ["a", 1]},
        frontmatter="model: opus\n",
    )
    assert head(document, 7) == (
        "---\n"
        "name: pdf-tools\n"
        'description: "Reads PDFs: text and tables."\n'
        "license: MIT\n"
        "compatibility: Needs python\n"
        "allowed-tools: Read Bash(git log:*)\n"
        "metadata:\n"
        "  author: me\n"
        '  tags: "[\\"a\\",1]"\n'
        '  version: "7"\n'
        "model: opus\n"
        "---\n"
    )


@pytest.mark.parametrize(
    ("metadata", "version"),
    [
        ({}, "4"),
        ({"version": "9"}, "4"),
        ({"version": 9}, "4"),
        ({"version": "1.0"}, "1.0"),
        ({"version": "v2"}, "v2"),
    ],
)
def test_a_version_of_the_author_that_is_no_whole_number_stays(
    metadata: dict[str, object], version: str
) -> None:
    document = Document(name="a", description="b", body="c", metadata=metadata)
    assert strictyaml.load(head(document, 4).split("---")[1]).data["metadata"]["version"] == version


@pytest.mark.parametrize("text", NASTY)
def test_every_reader_takes_a_scalar_for_the_text_that_it_was(text: str) -> None:
    source = f"key: {scalar(text)}\n"
    assert strictyaml.load(source).data == {"key": text}
    assert yaml.safe_load(source) == {"key": text}
    assert "---" not in source


@settings(max_examples=60)
@given(documents)
def test_what_is_written_is_valid_and_reads_back_as_it_was(document: Document) -> None:
    data = text_of(document)
    parsed = parse(data)
    assert parsed.document is not None, parsed.problems
    assert same(parsed.document, document)
    assert parsed.document.body == document.body
    assert parsed.document.frontmatter == document.frontmatter
    assert text_of(parsed.document) == data
    written = head(document, 3).removeprefix("---\n").removesuffix("---\n").removesuffix(document.frontmatter)
    loaded = strictyaml.load(written).data
    assert loaded["description"] == document.description
    assert "---" not in written
    assert set(loaded["metadata"]) == {*document.metadata, "version"}
    assert yaml.safe_load(written)["metadata"] == loaded["metadata"]


def test_the_reference_validator_takes_what_is_written() -> None:
    with TemporaryDirectory() as folder:
        for index, text in enumerate(NASTY):
            if not text.strip():
                continue
            name = f"skill-{index}"
            document = Document(
                name=name,
                description=text.strip()[:1024],
                body=f"{text}\n---\n",
                license=text.strip()[:255],
                compatibility=text.strip()[:500],
                metadata={text: text, "nested": {text: [text]}},
            )
            path = Path(folder, name)
            path.mkdir()
            path.joinpath("SKILL.md").write_bytes(text_of(document))
            assert skills_ref.validate(path) == [], text
            properties = skills_ref.read_properties(path)
            assert (properties.description, properties.license) == (document.description, document.license)
            assert properties.metadata[text] == text


def test_the_command_of_the_reference_validator_takes_it_too(tmp_path: Path) -> None:
    path = tmp_path / "a-skill"
    path.mkdir()
    document = Document(
        name="a-skill", description="Does: things --- well", body="Text.\n", allowed_tools=("Read",)
    )
    path.joinpath("SKILL.md").write_bytes(text_of(document))
    done = subprocess.run(
        [Path(sys.executable).with_name("agentskills"), "validate", path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_digest_is_that_of_the_lines_that_sha256sum_prints(tmp_path: Path) -> None:
    files = {"SKILL.md": b"skill", "a.txt": b"a", "Z/z.bin": b"\x00"}
    for path, data in files.items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    printed = subprocess.run(
        ["sha256sum", *sorted(files)], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    refs = [
        FileRef(path, "text/plain", len(data), Content.of(data).ref.sha256)
        for path, data in files.items()
        if path != "SKILL.md"
    ]
    assert digest(Content.of(b"skill").ref, refs) == "sha256:" + hashlib.sha256(printed).hexdigest()
    assert digest(Ref("00", 1), refs) != digest(Ref("01", 1), refs)


# Reading


def test_a_plain_file_is_read() -> None:
    document = document_of(
        "name: a-skill\n"
        "description: >-\n  Does this\n  and that.\n"
        "license: MIT # as all of them\n"
        "allowed-tools: Read, Write Bash(git log:*, git diff:*)\n"
        "metadata:\n  version: '12'\n  author: Jo\n  level: 3\n"
        "  tool:\n    bins: [jq, yq]\n    always: true\n    since: 1.10\n    text: 'true'\n",
        "\n# Text\r\nend",
    )
    assert document == Document(
        name="a-skill",
        description="Does this and that.",
        body="\n# Text\r\nend",
        license="MIT",
        allowed_tools=("Read", "Write", "Bash(git log:*, git diff:*)"),
        metadata={
            "author": "Jo",
            "level": "3",
            "tool": {"bins": ["jq", "yq"], "always": True, "since": "1.10", "text": "true"},
        },
    )


def test_unknown_keys_are_kept_as_they_were_written() -> None:
    document = document_of(
        "# first\nmodel: opus  # the large one\nname: a\n\nhooks:\n  # why\n  - run: [a,  b]\n\n    x: 'y'\n\n"
        "# of the next\ndescription: b\ntext: |+\n  one\n\n  two\n\nargument-hint: [file]\n"
    )
    assert document.frontmatter == (
        "# first\nmodel: opus  # the large one\n\nhooks:\n  # why\n  - run: [a,  b]\n\n    x: 'y'\n"
        "text: |+\n  one\n\n  two\n\nargument-hint: [file]\n"
    )
    again = parse(text_of(document)).document
    assert again is not None
    assert same(document, again)


def test_an_indented_frontmatter_is_kept_without_its_indent() -> None:
    document = document_of("  name: a\n  description: b\n  hooks:\n    x: y\n")
    assert document.frontmatter == "hooks:\n  x: y\n"


def test_a_mark_of_byte_order_and_ends_of_lines_of_windows_are_taken() -> None:
    parsed = parse(b"\xef\xbb\xbf---\r\nname: a\r\ndescription: b\r\nx: |\r\n  y\r\n---\r\nBody\r\n")
    assert parsed.document == Document(name="a", description="b", body="Body\r\n", frontmatter="x: |\n  y\n")


def test_a_list_of_tools_is_taken() -> None:
    document = document_of("name: a\ndescription: b\nallowed-tools:\n  - Read\n  - Bash(git log:*)\n")
    assert document.allowed_tools == ("Read", "Bash(git log:*)")


def test_line_separators_within_a_text_are_characters() -> None:
    assert document_of("name: a\ndescription: b\u2028c\n").description == "b\u2028c"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("description: Use when: asked", "Use when: asked"),
        ("description: *all* of it", "*all* of it"),
        ('description: "Big" things', '"Big" things'),
        ("description: [Beta] does", "[Beta] does"),
        ("description: @me and `you`", "@me and `you`"),
        ("description: Use this: when\n  it is \\good", "Use this: when it is \\good"),
    ],
)
def test_what_is_no_yaml_is_read_as_plain_text_with_a_warning(line: str, text: str) -> None:
    parsed = read(f"name: a\n{line}\nlicense: MIT\nmetadata:\n  author: Me: Jo\nglobs: *.py\n")
    assert parsed.document is not None, parsed.problems
    assert parsed.document.description == text
    assert parsed.document.license == "MIT"
    assert parsed.document.metadata == {"author": "Me: Jo"}
    assert parsed.document.frontmatter == 'globs: "*.py"\n'
    assert [problem.code for problem in parsed.problems] == ["unquoted_text"] * 3
    assert "Line 3" in parsed.problems[0].message


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "no_frontmatter", "is empty"),
        (b"# Title\n", "no_frontmatter", "first line be '---'"),
        (b"---\nname: a\n", "no_frontmatter", "no end"),
        (b"---\n---\nx", "invalid_yaml", "key: value"),
        (b"---\n- a\n---\nx", "invalid_yaml", "key: value"),
        (b"---\nname: a\ndescription: b\n---\n \n", "blank_body", "after the frontmatter"),
        (b"---\nname: a\n---\nx", "required", "'description'"),
        (b"---\ndescription: a\n---\nx", "required", "'name'"),
        (b"---\nname: My Skill\ndescription: b\n---\nx", "invalid_name", "'my-skill' would do"),
        (b"---\nname: a\ndescription: [b]\n---\nx", "no_text", "Line 3"),
        (b"---\nname: a\nname: b\ndescription: b\n---\nx", "duplicate_key", "Line 3"),
        (b"---\nname: a\ndescription: b\nmetadata: text\n---\nx", "invalid_metadata", "Line 4"),
        (b"---\nname: a\ndescription: b\n\tx: y\n---\nx", "invalid_yaml", "spaces, not with tabs"),
        (b"---\nname: a\ndescription: 'b\n---\nx", "invalid_yaml", "Line"),
        (b"---\nname: a\ndescription: \xff\n---\nx", "not_utf8", "Line 3"),
        (b"---\nname: a\ndescription: b\n---\nx\n\xff", "not_utf8", "Line 6"),
        (b"---\nname: a\ndescription: b\n---\nx\n\x00", "null_characters_not_allowed", "Line 6"),
        (b'---\nname: a\ndescription: "b\\0"\n---\nx', "invalid_characters", "NUL"),
        (b"---\nname: a\ndescription: " + b"b" * 1025 + b"\n---\nx", "max_length", "1,025"),
        (
            b"---\nname: a\ndescription: b\nx: " + b"[" * 100 + b"]" * 100 + b"\n---\nx",
            "too_deep",
            "deeper",
        ),
        (b"---\n" + b"#" * 300_000 + b"\n---\nx", "max_size", "frontmatter"),
        (b"---\nname: a\ndescription: b\n---\n" + b"x" * 1_000_001, "max_size", "1,000,001"),
        (b"---\n{name: a, description: b, x: y}\n---\nx", "flow_style", "braces"),
        (b"---\nname: a\ndescription: b\nmetadata: {a: &x [b], c: *x}\n---\nx", "yaml_alias", "Line 4"),
    ],
)
def test_an_error_says_where_it_is_and_what_would_be_right(data: bytes, code: str, says: str) -> None:
    parsed = parse(data)
    assert parsed.document is None
    assert code in errors_of(parsed)
    assert any(says in problem.message for problem in parsed.problems), parsed.problems


def test_all_errors_are_reported_at_once() -> None:
    parsed = read("name: A\nlicense: {a: b}\ncompatibility: [a, b]\n", body="")
    assert errors_of(parsed) == ["blank_body", "required", "invalid_name", "no_text"]
    assert parsed.name == "A"


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    parse(data)
    parse(b"---\nname: a\ndescription: b\n" + data + b"\n---\nx")


@given(st.text("ab:- \n#'\"|>[]{}*&?\t", max_size=60))
def test_no_frontmatter_raises_and_what_is_read_is_written_as_it_was(text: str) -> None:
    parsed = parse(f"---\nname: a\ndescription: b\n{text}\n---\nx".encode())
    if parsed.document is not None:
        again = parse(text_of(parsed.document))
        assert again.document is not None, (text, parsed.document, again.problems)
        assert same(parsed.document, again.document)


# Problems


def problems_of(body: str, paths: list[str] | None = None, **fields: object) -> list[tuple[str, str]]:
    document = Document(**{"name": "a", "description": "b", "body": body, **fields})  # type: ignore[arg-type]
    return [
        (problem.code, problem.path)
        for problem in problems(document.name, document, body.encode(), paths or [])
    ]


def test_a_good_skill_has_no_problems() -> None:
    body = (
        "See [the form](references/form.md#top), [all](./scripts/), [a file](a%20b.txt), [this](SKILL.md), [site](https://x.y/z),\n"
        "[mail](mailto:a@b.c), [here](#there), `[code](none.md)`.\n\n```md\n[example](none.md)\n```\n\n[x]: <references/form.md>\n"
    )
    assert problems_of(body, ["references/form.md", "scripts/run.sh", "a b.txt"]) == []


def test_links_that_lead_nowhere_are_told() -> None:
    body = "[a](none.md) [b](/etc/x) [c](../other/SKILL.md) [d](docs/../a.txt) [e](C:\\x)\n\n[f]: gone.txt\n"
    assert problems_of(body, ["a.txt"]) == [
        ("missing_file", "none.md"),
        ("absolute_link", "SKILL.md"),
        ("outside_link", "SKILL.md"),
        ("absolute_link", "SKILL.md"),
        ("missing_file", "gone.txt"),
    ]


def test_of_many_dead_links_some_are_told_and_the_rest_counted() -> None:
    found = problems_of("".join(f"[a](none-{index}.md)\n" for index in range(50)))
    assert len(found) == 21


@pytest.mark.parametrize(
    "body",
    [
        "".join(f"](a{number})" for number in range(100_000)),
        "".join(f"](a{number})\n" for number in range(100_000)),
        "[a](b)" + "\n" * 999_000,
        "[a](b)\n" + "```a\n" * 190_000,
        "[a](b)\n" + "`" * 900_000,
        "[a](b)\n" + "`a" * 400_000,
        "](" + " " * 900_000,
        "](\n" * 300_000,
        "[" * 900_000 + "]:",
    ],
)
def test_a_hostile_body_takes_no_longer(body: str) -> None:
    started = time.process_time()
    problems_of(body)
    assert time.process_time() - started < 0.5


def test_a_long_body_is_told() -> None:
    assert problems_of("x\n" * 501) == [("long_body", "SKILL.md")]
    assert problems_of("x" * 20_001) == [("large_body", "SKILL.md")]


def test_unknown_keys_are_told() -> None:
    assert (
        problems_of("x", frontmatter="model: opus\nhooks:\n  a: b\n'my key' : |\n  no: key\n")
        == [("unknown_key", "SKILL.md")] * 3
    )


def test_metadata_that_is_no_text_is_told() -> None:
    assert problems_of("x", metadata={"a": 1, "b": "c"}) == [("metadata_no_text", "SKILL.md")]


def test_paths_that_some_systems_do_not_have_are_told() -> None:
    assert problems_of("x", ["A.md", "a.md", "b?.md", "c./d", ".git/config", ".github/x", "e.f"]) == [
        ("unportable_path", "b?.md"),
        ("unportable_path", "c./d"),
        ("unportable_path", ".git/config"),
        ("case_clash", "a.md"),
    ]
