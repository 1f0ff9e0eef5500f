"""The shape of a snapshot: a release with another one folds the log instead."""

from typing import cast

import msgspec

from api.commands.repository import schema_of
from domain.artifacts.kinds import KINDS
from domain.artifacts.skills import FIELDS, Skill
from domain.artifacts.versioned import Versioned


def with_fields(*names: str) -> type[Versioned]:
    """A kind whose fields are one value with these names."""
    fields = msgspec.defstruct("Fields", [(name, str, "") for name in names])
    declared = msgspec.defstruct("Kind", [("fields", fields, None)], bases=(Versioned,), kw_only=True)
    made = cast(type[Versioned], declared)
    made.KIND = "made"
    return made


def test_a_field_of_the_one_value_changes_the_shape() -> None:
    assert schema_of(with_fields("one")) != schema_of(with_fields("one", "two"))
    assert f"fields({','.join(FIELDS)})" in schema_of(Skill)


def test_each_kind_has_a_shape_of_its_own() -> None:
    assert len({schema_of(kind) for kind in KINDS.values()}) == len(KINDS)
