"""The API and the console as one application."""

from typing import Any

from api import app as api
from api.cache.shared_memory import SharedMemoryCache
from api.config import ApiConfig
from console import errors
from console.issuer import Settings
from console.page import templates
from console.routes import handlers

# Compiled once, before processes are forked.
TEMPLATES = templates()


def create_app(
    config: ApiConfig, shared: SharedMemoryCache | None = None, issuer: Settings | None = None
) -> Any:
    """See ``api.app.create_app``; people sign in to the console at the ``issuer``, too."""
    return api.create_app(config, shared, api.Pages(handlers(issuer), TEMPLATES, errors.OF_THE_APPLICATION))
