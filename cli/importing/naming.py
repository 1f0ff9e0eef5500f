"""Names, labels and tags of elsewhere, as the registry can have them."""

import re

from domain.artifacts.tags import MAX_TAG, MAX_TAGS
from domain.errors import Invalid
from domain.names import MAX_PROMPT_NAME, MAX_SKILL_NAME, check_label, check_prompt_name, check_skill_name

CHECKS = {"skill": check_skill_name, "prompt": check_prompt_name}
NOT_IN_SKILL = re.compile(r"[^a-z0-9]+")
NOT_IN_PROMPT = re.compile(r"[^A-Za-z0-9_-]+")


def taken_name(kind: str, name: str) -> str | None:
    """The name itself where it is one, else the closest; None when nothing of it is left."""
    if _is(kind, name):
        return name
    if kind == "skill":
        found = (
            NOT_IN_SKILL.sub("-", name.lower()[: 4 * MAX_SKILL_NAME]).strip("-")[:MAX_SKILL_NAME].strip("-")
        )
    else:
        found = NOT_IN_PROMPT.sub("-", name[: 4 * MAX_PROMPT_NAME]).strip("-")[:MAX_PROMPT_NAME].strip("-")
    if found.lower() == "new":
        found = f"{found}-{kind}"
    return found if _is(kind, found) else None


def is_label(label: str) -> bool:
    try:
        check_label(label)
    except Invalid:
        return False
    return True


def taken_tags(tags: object) -> tuple[str, ...]:
    """Those that can be tags here, as they are kept."""
    if not isinstance(tags, list | tuple):
        return ()
    texts = (one.strip().lower().strip() for one in tags if isinstance(one, str) and len(one) <= 4 * MAX_TAG)
    found = {one for one in texts if 0 < len(one) <= MAX_TAG and "," not in one and one.isprintable()}
    return tuple(sorted(found)[:MAX_TAGS])


def _is(kind: str, name: str) -> bool:
    try:
        CHECKS[kind](name)
    except Invalid:
        return False
    return True
