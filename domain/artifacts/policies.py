"""Label policies: which labels of a project are protected, for artifacts of all kinds, and how many approvals a move takes."""

from collections.abc import Iterable
from typing import ClassVar, Self
from uuid import UUID, uuid5

import msgspec

from domain.errors import Invalid, NotFound, PermissionDenied
from domain.events import Event, event

KIND = "label_policy"  # in topics and subjects
SCOPE = "project:admin"

MAX_POLICIES = 100  # of one project: as many labels as an artifact may have
MAX_APPROVALS = 5

# A project has one stream of policies, which is known by the number of the project alone.
STREAMS = UUID("0195c2e0-5a11-7c02-8f3e-9d1b6a0c2f47")


class LabelPolicyEvent(Event, frozen=True, kw_only=True):
    label: str


@event
class LabelPolicySet(LabelPolicyEvent, frozen=True, kw_only=True):
    """From here on the label is protected or not, and a move of it takes so many approvals."""

    TOPIC: ClassVar[str] = "label_policy.set"

    protected: bool
    approvals: int


@event
class LabelPolicyRemoved(LabelPolicyEvent, frozen=True, kw_only=True):
    """The label is one like any other again."""

    TOPIC: ClassVar[str] = "label_policy.removed"


TOPICS = (LabelPolicySet.TOPIC, LabelPolicyRemoved.TOPIC)


class Policy(msgspec.Struct, frozen=True):
    """What holds for one label."""

    protected: bool
    approvals: int


class LabelPolicies(msgspec.Struct, kw_only=True):
    """The policies of one project: one stream. ``version`` is 0 when there has never been one."""

    id: UUID
    version: int = 0
    policies: dict[str, Policy] = {}
    pending: tuple[Event, ...] = ()

    @classmethod
    def of_project(cls, project_id: int) -> Self:
        """The stream before its first event."""
        return cls(id=stream_of(project_id))

    def fork(self) -> Self:
        """An independent copy to decide on."""
        return msgspec.structs.replace(self)

    def set(self, label: str, *, protected: bool, approvals: int) -> bool:
        """Put a policy in place; False when the label had none. One that takes approvals protects as well. Raises Invalid."""
        known = label in self.policies
        if not known and len(self.policies) >= MAX_POLICIES:
            raise Invalid(
                f"A project has at most {MAX_POLICIES} label policies; remove one first.",
                code="max_length",
                attr="label_name",
            )
        policy = Policy(protected or approvals > 0, approvals)
        if self.policies.get(label) != policy:
            self._trigger(
                LabelPolicySet(
                    originator_id=self.id,
                    originator_version=self.version + 1,
                    label=label,
                    protected=policy.protected,
                    approvals=policy.approvals,
                )
            )
        return known

    def remove(self, label: str) -> None:
        """Raises NotFound."""
        if label not in self.policies:
            raise NotFound(f"There is no policy for the label '{label}' in this project.")
        self._trigger(
            LabelPolicyRemoved(originator_id=self.id, originator_version=self.version + 1, label=label)
        )

    def required(self, label: str) -> int:
        """How many approvals a move of the label takes; 0 without a policy."""
        policy = self.policies.get(label)
        return policy.approvals if policy else 0

    def check_direct(self, labels: Iterable[str], scope: str, *, allowed: bool) -> None:
        """Raises PermissionDenied unless the labels may be moved or removed as they are; ``allowed``: the key has the ``scope``."""
        protected = self.check_scope(labels, scope, allowed=allowed)
        for label in protected:
            if needed := self.required(label):
                raise PermissionDenied(
                    f"The label '{label}' moves by a promotion with {needed} approval{'s' if needed > 1 else ''} alone: create "
                    "one for the version, and let others approve it. It is neither removed nor archived with what has it.",
                    code="approval_required",
                )

    def check_scope(self, labels: Iterable[str], scope: str, *, allowed: bool) -> list[str]:
        """Those of the labels that are protected. Raises PermissionDenied when there are any, unless the key has the ``scope``."""
        protected = sorted(
            label for label in labels if label in self.policies and self.policies[label].protected
        )
        if protected and not allowed:
            raise PermissionDenied(
                f"The label '{protected[0]}' is protected: moving or removing it takes a key with the required scope "
                f"'{scope}', and so does archiving what has it, or yanking the version that it points to.",
                code="label_protected",
            )
        return protected

    def evolve(self, event: Event) -> None:
        """Fold one event into the state. Raises ValueError on an event out of order or of another stream."""
        if event.originator_id != self.id or event.originator_version != self.version + 1:
            raise ValueError(
                f"{event.TOPIC} {event.originator_version} does not follow version {self.version} of {self.id}"
            )
        match event:
            case LabelPolicySet():
                self.policies = {**self.policies, event.label: Policy(event.protected, event.approvals)}
            case LabelPolicyRemoved():
                self.policies = {
                    label: policy for label, policy in self.policies.items() if label != event.label
                }
            case _:
                raise ValueError(f"label policies have no event {event.TOPIC}")
        self.version = event.originator_version

    def _trigger(self, event: Event) -> None:
        self.evolve(event)
        self.pending = (*self.pending, event)


def stream_of(project_id: int) -> UUID:
    """The stream of the policies of a project."""
    return uuid5(STREAMS, str(project_id))
