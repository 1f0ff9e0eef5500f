"""A draft and a version that was published meanwhile, put together on the version that both started from. Pure.

What only one of them has changed is taken; what both have changed stays as the draft has it, with a remark, or is merged line by line.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from console.editing.drafts import Draft, DraftFile, plain
from console.editing.kind import Field, checked_json
from console.editing.merging import EFFORT, merge
from domain.content import Content, Ref, text_of
from domain.errors import Invalid
from domain.json_text import indented
from projections.compare.lines import Effort

MAX_READ = 16_000_000  # bytes of files that both have changed; they are all in memory
MAX_QUOTED = 300  # characters of a value that a remark shows


class Trio(NamedTuple):
    """A file in the version that both started from, in the draft and in the newer version; None where it is not."""

    base: DraftFile | None
    mine: DraftFile | None
    theirs: DraftFile | None

    @property
    def both_changed(self) -> bool:
        mine, theirs = self.mine, self.theirs
        if mine is None or theirs is None or digest_of(mine) == digest_of(theirs):
            return False
        return self.base is None or digest_of(self.base) not in (digest_of(mine), digest_of(theirs))


def digest_of(file: DraftFile) -> str:
    if file.kept is not None:
        return file.kept.sha256
    return Content.of(file.data or b"").ref.sha256


def trios(base: Draft, mine: Draft, theirs: Draft, moved: Mapping[str, str] | None) -> list[Trio]:
    """``moved``: where the files of the base stand in the newer version; by path when it is None."""
    their_files = {file.path: file for file in theirs.files}
    my_files = {file.origin: file for file in mine.standing if file.origin is not None}
    found = []
    met: set[str] = set()
    for file in base.files:
        target = file.path if moved is None else moved.get(file.path)
        other = their_files.get(target) if target is not None else None
        if other is not None:
            met.add(other.path)
        found.append(Trio(file, my_files.pop(file.path, None), other))
    added = {file.path: file for file in mine.standing if file.origin is None}
    for file in theirs.files:
        if file.path not in met:
            found.append(Trio(None, added.pop(file.path, None), file))
    return found + [Trio(None, file, None) for file in (*my_files.values(), *added.values())]


def needed(files: Sequence[Trio]) -> list[Ref]:
    """The contents that ``rebased`` has to look into, as many as there is room for."""
    found: list[Ref] = []
    total = 0
    for trio in files:
        if trio.both_changed:
            refs = [file.kept.ref for file in trio if file is not None and file.kept is not None]
            total += sum(ref.size for ref in refs)
            if total > MAX_READ:
                break
            found += refs
    return found


def rebased(
    base: Draft,
    mine: Draft,
    theirs: Draft,
    fields: Sequence[Field],
    files: Sequence[Trio],
    contents: Mapping[bytes, bytes],
) -> Draft:
    """The draft as one that starts from ``theirs``; ``contents`` has what ``needed`` names, by digest."""
    return _Rebase(base, mine, theirs, contents).run(fields, files)


class _Rebase:
    def __init__(self, base: Draft, mine: Draft, theirs: Draft, contents: Mapping[bytes, bytes]) -> None:
        self.base, self.mine, self.theirs, self.contents = base, mine, theirs, contents
        self.remarks: list[str] = []
        self.is_marked = mine.is_marked
        self.effort = Effort(EFFORT)

    def run(self, fields: Sequence[Field], files: Sequence[Trio]) -> Draft:
        is_json, text = self._text()
        values = {field.name: self._value(field) for field in fields}
        kept = list(self._files(files))
        for number, file in enumerate(kept, 1):
            file.id = number
        return Draft(
            self.theirs.name,
            self.theirs.base,
            text,
            values,
            is_json=is_json,
            note=self.mine.note,
            files=kept,
            next_file=len(kept) + 1,
            frontmatter=self.theirs.frontmatter,
            tags_before=self.theirs.tags_before,
            remarks=self.remarks,
            is_marked=self.is_marked,
        )

    def _text(self) -> tuple[bool, str]:
        base, mine, theirs = self.base, self.mine, self.theirs
        if mine.is_json != theirs.is_json:
            # One of them has made a text of JSON, or the other way round: their lines have nothing in common.
            if mine.is_json == base.is_json and plain(mine.text) == plain(base.text):
                return theirs.is_json, theirs.text
            if theirs.is_json != base.is_json or theirs.text != base.text:
                self.remarks.append(
                    f"Version {theirs.base} has another kind of text. Yours stands here, theirs is not in it."
                )
            return mine.is_json, mine.text
        return mine.is_json, self._merged("The text", base.text, mine.text, theirs.text)

    def _merged(self, what: str, base: str, mine: str, theirs: str) -> str:
        found = merge(base, mine, theirs, self.theirs.base, self.effort)
        if found.conflicts:
            self.is_marked = True
            places = "place" if found.conflicts == 1 else "places"
            self.remarks.append(
                f"{what} has both versions in {found.conflicts} {places}, between <<<<<<< and >>>>>>>: choose there."
            )
        return found.text

    def _value(self, field: Field) -> str:
        base, mine, theirs = (draft.fields[field.name] for draft in (self.base, self.mine, self.theirs))
        if plain(mine) in (plain(base), plain(theirs)):
            return theirs
        if plain(theirs) == plain(base):
            return mine
        if field.shape == "json" and (found := self._object(field, base, mine, theirs)) is not None:
            return found
        shown = theirs if len(theirs) <= MAX_QUOTED else theirs[:MAX_QUOTED] + "…"
        self.remarks.append(
            f"{field.words}: both have changed it. Yours stands here; version {self.theirs.base} has: {shown or 'nothing'}"
        )
        return mine

    def _object(self, field: Field, *texts: str) -> str | None:
        """Key by key; None when one of them is no object."""
        try:
            base, mine, theirs = (_object(text) for text in texts)
        except (Invalid, msgspec.MsgspecError):
            return None
        found: dict[str, Any] = {}
        for key in {**theirs, **mine}:
            value = theirs.get(key)
            if mine.get(key) != base.get(key) and mine.get(key) != theirs.get(key):
                value = mine.get(key)
                if theirs.get(key) != base.get(key):
                    self.remarks.append(
                        f"{field.words}: both have changed '{key[:MAX_QUOTED]}'. Yours stands here."
                    )
            if value is not None:
                found[key] = value
        return indented(
            b"{%b}" % b",".join(msgspec.json.encode(key) + b":" + raw for key, raw in found.items())
        )

    def _files(self, files: Sequence[Trio]) -> Iterator[DraftFile]:
        for trio in files:
            base, mine, theirs = trio
            if mine is None and theirs is None:
                continue
            if theirs is None and mine is not None:
                if base is None or digest_of(mine) != digest_of(base):
                    if base is not None:
                        self.remarks.append(
                            f"Version {self.theirs.base} has no '{mine.path}' any more; it stays, as you have changed it."
                        )
                    yield msgspec.structs.replace(mine, origin=None)
                continue
            if theirs is None:
                continue
            if mine is None:
                if base is not None and digest_of(theirs) == digest_of(base):
                    continue
                if base is not None:
                    self.remarks.append(
                        f"You have removed '{base.path}', and version {self.theirs.base} has changed it: it stays."
                    )
                yield msgspec.structs.replace(theirs)
                continue
            yield self._file(trio, base, mine, theirs)

    def _file(self, trio: Trio, base: DraftFile | None, mine: DraftFile, theirs: DraftFile) -> DraftFile:
        is_moved = base is not None and mine.path != base.path
        path = mine.path if is_moved else theirs.path
        if is_moved and base is not None and theirs.path not in (base.path, mine.path):
            self.remarks.append(
                f"Both have renamed '{base.path}': yours is '{mine.path}', theirs '{theirs.path}'. Yours stands here."
            )
        found = msgspec.structs.replace(theirs, path=path)
        if trio.both_changed:
            self._join(base, mine, theirs, found)
        elif base is None or digest_of(mine) != digest_of(base):
            found.kept, found.data, found.content_type = mine.kept, mine.data, mine.content_type
        return found

    def _join(self, base: DraftFile | None, mine: DraftFile, theirs: DraftFile, found: DraftFile) -> None:
        contents = [b"" if file is None else self._content(file) for file in (base, mine, theirs)]
        texts = [None if data is None else text_of(data) for data in contents]
        old, my_text, their_text = texts
        if old is None or my_text is None or their_text is None:
            why = "are too many to be put together here" if None in contents else "are no text"
            self.remarks.append(f"Both have changed '{found.path}', and they {why}. Yours stands here.")
            found.kept, found.data, found.content_type = mine.kept, mine.data, mine.content_type
            return
        found.write(self._merged(f"'{found.path}'", old, my_text, their_text).encode())

    def _content(self, file: DraftFile) -> bytes | None:
        """None for what there was no room to read."""
        return file.data or b"" if file.kept is None else self.contents.get(file.kept.ref.digest)


def _object(text: str) -> dict[str, bytes]:
    """Each key with its value as it was written. Raises Invalid for what is no JSON, MsgspecError for what is no object."""
    raw = checked_json(text) if text else b"{}"
    return {key: bytes(value) for key, value in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items()}
