"""The framework's application without what this service does not use."""

from typing import Any

from litestar import Litestar
from litestar.plugins.core import MsgspecDIPlugin

from api.services import Services


class Application(Litestar):
    """All bodies are msgspec's. Plugins for other libraries would import them in every process, merely because something
    else has them installed: pydantic alone takes 0.1 s and 8 MB.
    """

    # What ``api.services.services`` finds; set while the process serves.
    services: Services

    @staticmethod
    def _get_default_plugins(plugins: list[Any]) -> list[Any]:
        return [*plugins, MsgspecDIPlugin()]
