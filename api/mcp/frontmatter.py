"""Frontmatter as JSON, read by the core schema of YAML 1.2, which is what hosts read it by."""

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

Base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

TAG = "tag:skald,2026:"
# Plain scalars that are no text, tried in this order by their first character. There are no dates, and no yes and no.
SCALARS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "null": (r"(?:~|null|Null|NULL|)", "~nN", lambda text: None),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)", "tTfF", lambda text: text.lower() == "true"),
    "int": (r"[-+]?[0-9]+", "-+0123456789", lambda text: _integer(text)),
    "octal": (r"0o[0-7]+", "0", lambda text: int(text[2:], 8)),
    "hex": (r"0x[0-9a-fA-F]+", "0", lambda text: int(text[2:], 16)),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
        lambda text: _float(text),
    ),
}


# Beyond this, what is written means infinity to readers that know doubles only.
MAX_DIGITS = 300


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def _float(text: str) -> float | str:
    value = float(text)
    # JSON has no infinity.
    return value if math.isfinite(value) else text


class CoreLoader(Base):  # type: ignore[misc]
    """Mappings, lists and texts, and the scalars above."""


def _scalar(convert: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    return lambda loader, node: convert(node.value)


for _name, (_pattern, _first, _convert) in SCALARS.items():
    CoreLoader.add_implicit_resolver(TAG + _name, re.compile(rf"^{_pattern}$"), [*_first, ""])
    CoreLoader.add_constructor(TAG + _name, _scalar(_convert))


def read_frontmatter(source: str) -> dict[str, Any]:
    """The mapping between the two ``---`` lines; keys are text, as JSON wants them."""
    loaded = yaml.load(source, Loader=CoreLoader)  # noqa: S506 - it makes plain values only
    found = _texted(loaded)
    return found if isinstance(found, dict) else {}


def _texted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _texted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texted(inner) for inner in value]
    return value
