"""The rules of label policies: given some, when a command comes, then these events or this refusal."""

import pytest

from domain.artifacts.policies import (
    MAX_POLICIES,
    LabelPolicies,
    LabelPolicyRemoved,
    LabelPolicySet,
    Policy,
    stream_of,
)
from domain.errors import Invalid, NotFound, PermissionDenied

SCOPE = "llm_prompt:promote"


def given(**policies: tuple[bool, int]) -> LabelPolicies:
    made = LabelPolicies.of_project(1)
    for label, (protected, approvals) in policies.items():
        made.set(label, protected=protected, approvals=approvals)
    made.pending = ()
    return made


def test_a_project_has_a_stream_of_its_own() -> None:
    assert stream_of(1) == stream_of(1) != stream_of(2)
    assert LabelPolicies.of_project(1).id == stream_of(1)


def test_set_and_change_a_policy() -> None:
    policies = given()
    assert policies.set("production", protected=True, approvals=0) is False
    assert policies.set("production", protected=True, approvals=0) is True
    assert policies.set("production", protected=False, approvals=2) is True
    first, second = policies.pending
    assert isinstance(first, LabelPolicySet)
    assert isinstance(second, LabelPolicySet)
    assert (first.label, first.protected, first.approvals) == ("production", True, 0)
    # Approvals protect.
    assert (second.protected, second.approvals) == (True, 2)
    assert policies.required("production") == 2


def test_remove_a_policy() -> None:
    policies = given(production=(True, 1))
    policies.remove("production")
    [event] = policies.pending
    assert isinstance(event, LabelPolicyRemoved)
    assert (policies.policies, policies.required("production")) == ({}, 0)
    with pytest.raises(NotFound):
        policies.remove("production")


def test_a_project_has_so_many() -> None:
    policies = given(**{f"l{number}": (True, 0) for number in range(MAX_POLICIES)})
    with pytest.raises(Invalid, match="at most 100"):
        policies.set("one-more", protected=True, approvals=0)
    assert policies.set("l0", protected=False, approvals=0)


def refused(policies: LabelPolicies, *labels: str, allowed: bool) -> str | None:
    try:
        policies.check_direct(labels, SCOPE, allowed=allowed)
    except PermissionDenied as error:
        return error.code
    return None


def test_who_may_move_what() -> None:
    policies = given(open=(False, 0), guarded=(True, 0), voted=(True, 2))
    for label in ("open", "without-policy"):
        assert refused(policies, label, allowed=False) is None
    assert refused(policies, "guarded", allowed=False) == "label_protected"
    assert refused(policies, "guarded", allowed=True) is None
    assert refused(policies, "voted", allowed=True) == "approval_required"
    # The scope that is missing comes first, whichever label it is missing for.
    assert refused(policies, "voted", allowed=False) == "label_protected"
    assert refused(policies, "voted", "guarded", "open", allowed=False) == "label_protected"
    assert refused(policies, "guarded", "voted", "open", allowed=True) == "approval_required"


def test_events_are_folded_in_their_order_alone() -> None:
    event = LabelPolicySet(
        originator_id=stream_of(1), originator_version=2, label="a", protected=True, approvals=0
    )
    with pytest.raises(ValueError, match="does not follow"):
        given().evolve(event)
    policies = given(b=(True, 0))
    policies.evolve(event)
    assert policies.policies == {"b": Policy(True, 0), "a": Policy(True, 0)}
