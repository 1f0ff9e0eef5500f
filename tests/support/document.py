"""The OpenAPI document of the service, made once for each test process. Nothing may change it: take a copy for that."""

from typing import Any

from litestar import Litestar

from api.app import route_handlers
from api.openapi.document import document

DOCUMENT: dict[str, Any] = document(Litestar(route_handlers=route_handlers(), openapi_config=None))
