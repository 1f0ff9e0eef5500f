"""What the API offers of each kind: the controllers of its resource, and the function that publishes."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from litestar import Controller

from api.git.controller import GitController
from api.governance.promotions import promotions_controller
from api.http.context import RequestContext
from api.http.responses import Answer
from api.prompts.artifact import PromptArtifactController
from api.prompts.commands import publish as publish_prompt
from api.prompts.controller import PromptsController
from api.prompts.schemas import RenamePrompt
from api.sharing.controller import SharesController
from api.sharing.install_command import InstallCommandController
from api.skills.artifact import SkillArtifactController
from api.skills.bundles import BundlesController
from api.skills.commands import publish as publish_skill
from api.skills.controller import SkillsController
from api.skills.packages import PackagesController
from api.skills.pins import PinsController
from api.skills.schemas import RenameSkill
from domain.artifacts.prompts import Prompt
from domain.artifacts.skills import Skill
from domain.artifacts.versioned import Versioned


class Kind(msgspec.Struct, frozen=True):
    """One kind. Its controller and the fast path call the same ``publish``: of the artifact of a name, by a request's body.

    ``rename`` is the body of a rename: a ``new_name`` under the rules for names of the kind.
    """

    aggregate: type[Versioned]
    controllers: tuple[type[Controller], ...]
    publish: Callable[[RequestContext, str, bytes], Awaitable[Answer]]
    rename: type[msgspec.Struct]

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
            (
                SkillsController,
                SharesController,
                InstallCommandController,
                SkillArtifactController,
                PackagesController,
                BundlesController,
                PinsController,
                GitController,
                promotions_controller(Skill),
            ),
            publish_skill,
            RenameSkill,
        ),
        Kind(
            Prompt,
            (PromptsController, PromptArtifactController, promotions_controller(Prompt)),
            publish_prompt,
            RenamePrompt,
        ),
    )
}
