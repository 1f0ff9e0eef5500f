"""A frontmatter of 250 KB made an answer of 3 MB, with a problem for each of its lines; one within braces was a 500."""

from itertools import product

import pytest

from domain.formats import skill_md, spec
from domain.formats.skill_md import Document
from domain.formats.spec import MAX_OF_A_KIND

HEAD = "name: pdf\ndescription: d\n"


def told(frontmatter: str) -> list[spec.Problem]:
    parsed = skill_md.parse(f"---\n{frontmatter}---\nbody\n".encode())
    document = parsed.document
    of_fields = spec.of_fields(document.name, document) if document else []
    return [*parsed.problems, *of_fields]


def spelled(word: str) -> list[str]:
    return ["".join(letters) for letters in product(*((char, char.upper()) for char in word))]


@pytest.mark.parametrize(
    "frontmatter",
    [
        HEAD + "".join(f"k{n}: a: b\n" for n in range(15_000)),
        HEAD + "".join(f"k{n}: x\n" for n in range(20_000)),
        HEAD + "".join(f"{key}: x\n" for key in spelled("compatibility")[1:]),
        HEAD + "metadata:\n" + "".join(f"  k{n}: [1]\n" for n in range(6000)),
        HEAD + f"? {'k' * 100_000}\n: x\n" * 2,
        f"name: {'n' * 200_000}\ndescription: d\n",
        HEAD + "a: *" + "a" * 100_000 + "\n",
    ],
    ids=["unquoted", "unknown", "case", "metadata", "twice", "name", "alias"],
)
def test_problems_are_few_and_short(frontmatter: str) -> None:
    problems = told(frontmatter)

    assert problems
    assert len(problems) <= 3 * (MAX_OF_A_KIND + 1)
    assert sum(len(problem.message) + len(problem.path) for problem in problems) < 20_000


def test_those_that_are_not_listed_are_counted() -> None:
    messages = [problem.message for problem in told(HEAD + "".join(f"k{n}: a: b\n" for n in range(50)))]

    assert len([message for message in messages if message.startswith("30 more")]) == 2


@pytest.mark.parametrize(
    ("frontmatter", "codes"),
    [
        ("{name: pdf, description: d, model: opus}\n", ["flow_style"]),
        ("{name: pdf,\n description: d, model: opus,\n effort: low}\n", ["flow_style"]),
        ("{name: pdf, description: d, license: MIT}\n", []),
        ("{name: pdf,\n description: d}\n", []),
    ],
)
def test_a_frontmatter_within_braces_is_no_crash(frontmatter: str, codes: list[str]) -> None:
    assert [problem.code for problem in told(frontmatter)] == codes


@pytest.mark.timeout(30)
def test_links_and_code_of_a_body_take_time_in_proportion() -> None:
    """Each of many links was sought in each of many paths, and a long run of backticks in every part of it."""
    document = Document("d", name="pdf", body="")
    paths = {"/".join([f"{n}", *["a"] * 200]) for n in range(200)}
    bodies = [
        b"".join(b"](a%d)" % n for n in range(9900)),
        b"](a)\n" + b"]" + b"`" * 99_000 + b"x",
        (b"](a)\n" + b"]" + b"`" * 900 + b"x\n") * 100,
    ]
    for body in bodies:
        assert spec.problems("pdf", document, body, paths)


def test_code_between_backticks_is_no_link() -> None:
    document = Document("d", name="pdf", body="")
    for body in (b"`[a](b)`", b"``[a](b)``", b"x ```[a](b)``` y", b"```\n[a](b)\n```"):
        assert spec.problems("pdf", document, body, ()) == []
    for body in (b"[a](b)", b"`c` [a](b) `d`", b"`` [a](b) `", b"x ``` [a](b)"):
        assert [problem.code for problem in spec.problems("pdf", document, body, ())] == ["missing_file"]
