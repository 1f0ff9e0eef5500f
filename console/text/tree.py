"""Paths as a tree of folders."""

from collections.abc import Iterable
from typing import Any

import msgspec

from domain.artifacts.skills import FileRef


class Node(msgspec.Struct):
    """A folder, or a file when ``file`` is there."""

    name: str
    file: FileRef | None = None
    children: "list[Node]" = []


def tree_of(files: Iterable[FileRef]) -> list[Node]:
    """Folders before files, each by name."""
    root: dict[str, Any] = {}
    for file in files:
        *folders, name = file.path.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(f"{folder}/", {})
        place[name] = file
    return _nodes(root)


def _nodes(entries: dict[str, Any]) -> list[Node]:
    folders = [
        Node(name.removesuffix("/"), None, _nodes(value))
        for name, value in sorted(entries.items())
        if isinstance(value, dict)
    ]
    return folders + [
        Node(name, value) for name, value in sorted(entries.items()) if isinstance(value, FileRef)
    ]
