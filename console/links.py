"""Addresses of the console."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

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
    parts = urlsplit(address)
    return (
        not parts.scheme
        and not parts.netloc
        and (address == ROOT or address.startswith(f"{ROOT}/"))
        and address.isascii()
        and address.isprintable()
        and "\\" not in address
        and "//" not in parts.path
        and "/." not in parts.path
    )
