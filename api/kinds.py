"""What the API offers of each kind: the controllers of its resource, and the method that publishes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Controller

from api.git.controller import GitController
from api.prompts.controller import PromptsController
from api.prompts.history import PromptHistoryController
from api.sharing.controller import SharesController
from api.skills.controller import SkillsController
from api.skills.history import SkillHistoryController
from api.skills.packages import PackagesController
from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import Skill
from domain.artifacts.versioned import Versioned


class Kind(msgspec.Struct, frozen=True):
    """One kind. ``publish`` is the method of its controller, which the fast path calls, too."""

    aggregate: type[Versioned]
    controllers: tuple[type[Controller], ...]
    publish: Callable[..., Awaitable[Any]]

    @property
    def read_scope(self) -> str:
        return f"{self.aggregate.SCOPE}:read"

    @property
    def write_scope(self) -> str:
        return f"{self.aggregate.SCOPE}:write"


# By the segment of their addresses.
KINDS: Mapping[str, Kind] = {
    kind.aggregate.RESOURCE: kind
    for kind in (
        Kind(
            Skill,
            (SkillsController, SharesController, SkillHistoryController, PackagesController, GitController),
            SkillsController.publish.fn,
        ),
        Kind(Prompt, (PromptsController, PromptHistoryController), PromptsController.publish.fn),
    )
}
