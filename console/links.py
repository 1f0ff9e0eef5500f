"""Addresses of the console."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

ROOT = "/console"


def below(prefix: str, *segments: object, query: Mapping[str, Any] | None = None) -> str:
    """The path of a place: each segment is text, whatever it holds."""
    path = "/".join(quote(str(segment), safe="@") for segment in segments)
    end = f"?{urlencode(query, quote_via=quote, safe='')}" if query else ""
    return f"{prefix}{ROOT}/{path}{end}"


def file_segments(path: str) -> list[str]:
    """The segments of the path of a file."""
    return path.split("/")


def is_ours(address: str) -> bool:
    """Whether an address that a form has brought back is a path below the console, and nothing that a browser reads otherwise."""
    if not (address == ROOT or address.startswith(f"{ROOT}/")):
        return False
    # A browser reads a dot that is written as %2e as one.
    path = unquote(urlsplit(address).path)
    return (
        address.isascii()
        and address.isprintable()
        and "\\" not in address
        and "//" not in path
        and not {".", ".."} & set(path.split("/"))
    )
