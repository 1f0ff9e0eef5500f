"""What may stand in an address that this service hands out as its own: a host, a sub-path, the public address of both."""

import re

# What may stand in a Host header; anything else would end up in an address that we hand out.
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")

# A sub-path whose text means the same in a path, a header, a quoted attribute and a JSON string. Two slashes would make a
# host of what follows.
SUB_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
PUBLIC_URL = re.compile(r"(https?://[^/?#@\s]+)(/[^?#\s]*)?", re.IGNORECASE)


def sub_path(text: str) -> str | None:
    """``/skald`` of ``/skald`` and ``/skald/``, the empty text of ``/`` and of nothing; None for what is no sub-path."""
    path = text.removesuffix("/")
    if path and (not SUB_PATH.fullmatch(path) or not {".", ".."}.isdisjoint(path.split("/"))):
        return None
    return path


def public_url(text: str) -> str:
    """``https://host/skald`` in the one form that paths are put behind. Raises ValueError."""
    found = PUBLIC_URL.fullmatch(text)
    path = sub_path(found[2] or "") if found is not None else None
    if found is None or path is None or not HOST.fullmatch(found[1].partition("://")[2]):
        raise ValueError(
            "an address looks like https://host or https://host/skald, without user, query or fragment"
        )
    return found[1].lower() + path
