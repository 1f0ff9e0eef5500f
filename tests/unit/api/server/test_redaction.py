"""No log line holds a secret."""

import json
import logging

import pytest

from api.server.logs import JsonFormatter, redact, request_id

KEY = "sk_" + "aB3-_" * 8 + "xyz"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"got {KEY}.", "got sk_[redacted]."),
        (f"Authorization: Bearer {KEY}", "Authorization: Bearer [redacted]"),
        ("authorization: bearer phx_whatever, x", "authorization: bearer [redacted], x"),
        (f"{{'k': '{KEY}'}}", "{'k': 'sk_[redacted]'}"),
        ("?token=skt_abcdef&x=1", "?token=skt_[redacted]&x=1"),
        ("GET /s/sks_abcdef/.well-known", "GET /s/sks_[redacted]/.well-known"),
        ("postgresql://ada:pass-word@db/x", "postgresql://ada:[redacted]@db/x"),
        ("redis://:pass@db", "redis://:[redacted]@db"),
        ("signed by whsec_MfKQ9r8GKYqrTwjU==!", "signed by whsec_[redacted]!"),
        ("task_skills risk_level http://a/b", "task_skills risk_level http://a/b"),
    ],
)
def test_redact(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_a_line_is_json_with_the_request_id_and_without_the_key_in_message_or_traceback() -> None:
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "no %s\n", (KEY,), (ValueError, error, error.__traceback__)
        )
    token = request_id.set("r-1")

    line = JsonFormatter().format(record)

    request_id.reset(token)
    assert "\n" not in line
    assert KEY not in line
    fields = json.loads(line)
    assert fields["request_id"] == "r-1"
    assert fields["level"] == "error"
    assert "ValueError" in fields["error"]


def test_a_line_that_is_no_unicode_is_written_all_the_same() -> None:
    assert "\\ud800" in JsonFormatter().format(logging.LogRecord("x", 20, "", 0, "\ud800", (), None))
