"""Names of skills and entries of ``allowed_tools``."""

import pytest

from domain.errors import Invalid
from domain.names import check_skill_name, check_tool


@pytest.mark.parametrize(
    "name", ["a", "0", "pdf-forms", "a-b-c", "1-2", "newer", "re-new", "x" * 64, "latest"]
)
def test_names_of_skills(name: str) -> None:
    assert check_skill_name(name) == name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "blank"),
        ("new", "reserved_name"),
        ("nEw", "reserved_name"),
        ("x" * 65, "max_length"),
        *(
            (name, "invalid_name")
            for name in (
                "A",
                "a_b",
                "-a",
                "a-",
                "a--b",
                "a b",
                "a\n",
                "é",
                "٣",
                "a.b",
                "a/b",
                "a\0",
                "ﬁ",
                "new-",
            )
        ),
    ],
)
def test_what_is_no_name_of_a_skill(name: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_skill_name(name)

    assert refused.value.code == code


@pytest.mark.parametrize(
    "tool", ["Read", "Bash(git log:*)", "(a b)", "a(b c)d", "f()g()", "mcp__x__y", "a((b))", "Bash(a\tb)"]
)
def test_tools(tool: str) -> None:
    assert check_tool(tool) == tool


@pytest.mark.parametrize(
    "tool",
    [
        "git log",
        "Bash(a b",
        "Bash a)",
        "a(b)(c d)",
        "a(b c)(d)",
        "((a b))",
        "a b(c d)",
        "(a b) c",
        "a\u2003b",
    ],
)
def test_white_space_stands_inside_one_pair_of_parentheses_only(tool: str) -> None:
    with pytest.raises(Invalid):
        check_tool(tool)


def test_a_tool_may_not_be_blank() -> None:
    with pytest.raises(Invalid) as refused:
        check_tool("")
    assert refused.value.code == "blank"
