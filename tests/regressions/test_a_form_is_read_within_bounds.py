"""A text field of a form that named punycode as its encoding kept the event loop for minutes: that takes quadratic time."""

from typing import Any

import pytest

from tests.support.archives import packed
from tests.support.space import Space, refusal

BOUNDARY = "b"


def form(*parts: tuple[str, bytes]) -> dict[str, Any]:
    """A request whose parts have these headers and contents."""
    body = b"".join(b"--b\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return {
        "content": body + b"--b--\r\n",
        "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    }


def field(name: str, more: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}'


FILE = (field("file", '; filename="a.zip"'), packed())
PUNYCODE = "\r\nContent-Type: text/plain; charset=punycode"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            form(FILE, (field("mode", PUNYCODE), b"a" * 500_000 + b"-" + b"a9" * 500_000)),
            (400, "parse_error", None),
        ),
        (
            form((field("other", PUNYCODE), b"a" * 500_000 + b"-" + b"a9" * 500_000), FILE),
            (400, "parse_error", None),
        ),
        (form(FILE, (field("mode"), b"u" * 10_001)), (400, "parse_error", None)),
        (form(*[(field("x"), b"")] * 5000, FILE), (400, "parse_error", None)),
        (
            form(FILE, (field("mode", "\r\nContent-Type: text/plain; charset=latin-1"), b"\xff")),
            (400, "parse_error", None),
        ),
        (
            {**form(FILE), "headers": {"Content-Type": "multipart/form-data; boundary="}},
            (400, "parse_error", None),
        ),
        ({**form(FILE), "content": form(FILE)["content"][:-5]}, (400, "parse_error", None)),
    ],
    ids=["punycode", "punycode elsewhere", "long", "parts", "latin-1", "no boundary", "cut"],
)
async def test_what_is_no_form_of_ours_is_refused(
    space: Space, request_: dict[str, Any], expected: tuple[int, str, Any]
) -> None:
    answer = await space.at("POST", "llm_skills/import/", **request_)

    assert refusal(answer) == expected


async def test_a_form_as_browsers_send_it_is_taken(space: Space) -> None:
    request_ = form(
        (field("mode", "\r\nContent-Type: text/plain; charset=utf-8"), b"upsert"),
        (field("empty"), b""),
        (field("file", '; filename="größe.zip"\r\nContent-Type: application/zip'), packed()),
    )

    answer = await space.at("POST", "llm_skills/import/", **request_)

    assert (await space.ok(201, answer))["outcome"] == "created"
