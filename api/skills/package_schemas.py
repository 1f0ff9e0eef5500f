"""The form of an import and its answer."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from api.openapi.examples import examples_of
from api.skills.schemas import SkillAnswer
from domain.formats.spec import Problem

_EXAMPLES = examples_of("api.skills")


class ImportForm(msgspec.Struct):
    """A skill to import."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ImportForm"]

    file: Annotated[
        str,
        Meta(
            description="A zip or gzipped tar with SKILL.md at the root or one folder down: at most 200 files beside it, "
            "1,000,000 bytes each, and in all no more, unpacked, than a request may have.",
            extra_json_schema={"format": "binary"},
        ),
    ]


class ImportAnswer(SkillAnswer, kw_only=True):
    """The skill as it is now, and how it came to be; of a dry run `outcome`, `name` and `problems` alone."""

    EXAMPLES: ClassVar[dict[str, Any]] = _EXAMPLES["ImportAnswer"]
    HINTS: ClassVar[dict[str, Any]] = {"required": ["name", "outcome", "problems"]}

    outcome: Literal["created", "published", "unchanged"]
    problems: list[Problem]
