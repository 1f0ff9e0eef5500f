"""The kinds of artifacts there are. A kind is declared by its aggregate; what has to know all kinds reads this table."""

from collections.abc import Mapping

from domain.artifacts import mirrors, policies
from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import Skill
from domain.artifacts.versioned import Versioned

# By what topics, subjects and tables call them.
KINDS: Mapping[str, type[Versioned]] = {kind.KIND: kind for kind in (Skill, Prompt)}

# What the events of a project's feed are about: artifacts, the policies of their labels, and what the project is a mirror of.
SUBJECT_KINDS = (*KINDS, policies.KIND, mirrors.KIND)

# How the subject of such an event begins, in a sentence.
SUBJECTS = " or ".join(f"'{kind}/'" for kind in SUBJECT_KINDS)

# What the subjects of events of each kind begin with.
PREFIXES = tuple(f"{kind}/" for kind in SUBJECT_KINDS)


def kind_of(topic: str) -> str | None:
    """The kind whose event a topic names; None for the events of everything else."""
    kind = topic.partition(".")[0]
    return kind if kind in KINDS else None
