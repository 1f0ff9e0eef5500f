"""Which names skills, prompts and labels may have, and what a line of text may hold."""

import re

from domain.errors import Invalid

SKILL_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
PROMPT_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
LABEL = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.ASCII)

# What people say in a line, such as a reason: it stands in lists, also of terminals.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
LINE = re.compile(rf"[^{CONTROLS}]*")

MAX_SKILL_NAME = 64
MAX_PROMPT_NAME = 255
MAX_LABEL = 128
MAX_TOOLS = 200  # entries of ``allowed_tools``
MAX_TOOL = 500  # characters of one

# White space is allowed inside one pair of parentheses: Bash(git log:*).
SPACED_TOOL = re.compile(r"[^\s()]*\([^()]*\)[^\s()]*")


def check_skill_name(name: str) -> str:
    """Raises Invalid: blank, reserved_name, max_length, invalid_name."""
    _check(
        name, MAX_SKILL_NAME, SKILL_NAME, "lower-case letters and digits, with single hyphens between them"
    )
    return name


def check_prompt_name(name: str) -> str:
    """Raises Invalid: blank, reserved_name, max_length, invalid_name."""
    _check(name, MAX_PROMPT_NAME, PROMPT_NAME, "letters, digits, hyphens and underscores")
    return name


def check_label(label: str) -> str:
    """Raises Invalid: blank, reserved_name, max_length, invalid_name."""
    if label == "latest" or (label.isascii() and label.isdigit()):
        raise Invalid(
            "A label may not be 'latest' or a number: those already name versions.", code="reserved_name"
        )
    _check(
        label,
        MAX_LABEL,
        LABEL,
        "lower-case letters, digits, '.', '_' and '-', a letter or digit at both ends",
    )
    return label


def check_line(text: str) -> str:
    """One line of what people say. Raises Invalid."""
    if not LINE.fullmatch(text):
        raise Invalid("Use one line without control characters.")
    return text


def check_tool(tool: str) -> str:
    """One entry of ``allowed_tools``. Raises Invalid."""
    if not tool:
        raise Invalid("An allowed tool may not be blank.", code="blank")
    if len(tool) > MAX_TOOL:
        raise Invalid(
            f"An allowed tool has at most {MAX_TOOL} characters; this has {len(tool)}.", code="max_length"
        )
    if any(char.isspace() for char in tool) and not SPACED_TOOL.fullmatch(tool):
        raise Invalid(
            "White space in an allowed tool may stand only inside one pair of parentheses, as in 'Bash(git log:*)'."
        )
    return tool


def _check(name: str, longest: int, pattern: re.Pattern[str], allowed: str) -> None:
    if not name:
        raise Invalid("A name may not be blank.", code="blank")
    if name.lower() == "new":
        raise Invalid(f"'{name}' is reserved; choose another name.", code="reserved_name")
    if len(name) > longest:
        raise Invalid(f"A name has at most {longest} characters.", code="max_length")
    if not pattern.fullmatch(name):
        raise Invalid(f"A name consists of {allowed}.", code="invalid_name")
