"""Scopes, addresses and labels."""

from uuid import UUID

import pytest

from domain.errors import Invalid
from domain.events import EVENT_TYPES
from domain.keys import KeyCreated, allows, check_email, check_label, check_scopes
from store.log.mapper import decode, to_stored


@pytest.mark.parametrize(
    ("scopes", "required", "allowed"),
    [
        (["llm_skill:read"], "llm_skill:read", True),
        (["llm_skill:read"], "llm_skill:write", False),
        (["llm_skill:write"], "llm_skill:read", True),
        (["llm_skill:write"], "llm_prompt:read", False),
        (["*"], "webhook:write", True),
        ([], "llm_skill:read", False),
    ],
)
def test_write_includes_read_and_a_star_is_everything(
    scopes: list[str], required: str, allowed: bool
) -> None:
    assert allows(scopes, required) is allowed


def test_scopes_are_known_and_at_least_one() -> None:
    assert check_scopes(["llm_skill:read", "*", "llm_skill:read"]) == ("llm_skill:read", "*")
    for scopes in ([], ["llm_skill:delete"]):
        with pytest.raises(Invalid) as refused:
            check_scopes(scopes)
        assert refused.value.attr == "scopes"


@pytest.mark.parametrize("email", ["ada@example.com", " root@localhost ", "é@exämple.com"])
def test_addresses(email: str) -> None:
    assert check_email(email) == email.strip()


@pytest.mark.parametrize(
    "email", ["", "ada", "@b", "a@", "a@b@c", "a b@c", "a@b\0", "a" * 254 + "@b", "a@\ud800"]
)
def test_bad_addresses(email: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_email(email)
    assert refused.value.attr == "email"


def test_labels_are_one_printable_line() -> None:
    assert check_label(" Ada ", "first_name") == "Ada"
    assert check_label(" ", "first_name", blank=True) == ""
    for text, code in (
        ("", "blank"),
        ("x" * 201, "max_length"),
        ("a\nb", "invalid_input"),
        ("a\0", "invalid_input"),
    ):
        with pytest.raises(Invalid) as refused:
            check_label(text, "name")
        assert (refused.value.code, refused.value.attr) == (code, "name")


def test_events_hold_ids_only_and_come_back_as_written() -> None:
    event = KeyCreated(
        originator_id=UUID(int=1), originator_version=1, user_id=7, scopes=("*",), project_ids=(1, 2)
    )
    stored = to_stored(event)

    assert decode(stored.topic, stored.state) == event
    assert b"@" not in stored.state
    assert {"key.created", "key.revoked", "user.erased"} <= EVENT_TYPES.keys()
