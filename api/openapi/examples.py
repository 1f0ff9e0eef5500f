"""Examples of the OpenAPI document: ``examples.json`` of each package, by the name of the struct that they show."""

from importlib.resources import files
from typing import Any

import msgspec


def examples_of(package: str) -> dict[str, dict[str, Any]]:
    """By struct, its examples by their titles."""
    data = (files(package) / "examples.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, dict[str, Any]])
