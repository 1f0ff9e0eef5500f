"""SKILL.md: a skill as the one text that agents install, written and read.

``head`` writes the frontmatter, by an emitter of its own: what it writes is valid for every YAML reader, strict ones
included (no flow style, no ``---`` inside), and the same bytes for the same fields for good. SKILL.md is the head and the
body, with nothing between or after. ``parse`` reads what people wrote, leniently, and says what is wrong with it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import yaml

from domain.artifacts.skills import (
    MAX_COMPATIBILITY,
    MAX_DESCRIPTION,
    MAX_LICENSE,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_METADATA_KEYS,
    Details,
    FileRef,
    SkillFields,
)
from domain.content import MAX_CONTENT_BYTES, Ref
from domain.errors import Invalid
from domain.formats.spec import KNOWN_KEYS, MAX_OF_A_KIND, Problem
from domain.json_text import depth
from domain.names import MAX_TOOL, MAX_TOOLS, check_skill_name

# The longest valid one has 100 KB of metadata; a reader of YAML should not be given much more than that.
MAX_FRONTMATTER_BYTES = 250_000
MAX_DEPTH = MAX_METADATA_DEPTH + 2

# Messages quote what stands there, which may be a key of 250 KB.
MAX_MESSAGE = 2000

BOM = b"\xef\xbb\xbf"

# Where a key ends must be found within 1,024 characters, else YAML wants the long form of a key.
LONG_KEY = 1000

# A plain scalar that every reader takes for text: no indicator in front, no control or invisible character, and none of
# the words and numbers that some reader resolves to another type.
UNSEEN = "\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff\ud800-\udfff\ufff0-\uffff"
# Nothing in it is possessive: before Python 3.11.5 that finds too little.
PLAIN = re.compile(f"[A-Za-z\u00a1-\U0010ffff](?:[^{UNSEEN}:#]|:(?! |$)|(?<! )#)*")
PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
ESCAPED = re.compile(f'[{UNSEEN}"\\\\]')
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

WHOLE = re.compile(r"[0-9]+")

# One entry of allowed-tools; white space and commas part entries outside of parentheses.
TOOL = re.compile(r"[^\s(),]*\([^()]*\)[^\s(),]*|[^\s,]+")

# Scalars within a nested value of metadata that JSON has as something else than text, in the one spelling that JSON gives back.
INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}

# How a text begins whose characters have two bytes; one without a mark begins with the line '---' all the same.
UTF16 = (b"\xff\xfe", b"\xfe\xff", b"-\0-\0", b"\0-\0-")
COMMENT = re.compile(r"[ \t]+#")
CLOSING = re.compile(rb"^---[ \t]*(?:\r?\n|\r|\Z)", re.MULTILINE)
SURROGATE = re.compile("[\ud800-\udfff]")
# Line breaks to YAML 1.1, characters as others to 1.2, which installers read.
NO_BREAKS = ("\x85", "\u2028", "\u2029")

# The second reading: a key with a value behind it on one line, which is no block scalar.
ENTRY = re.compile(r"( *(?:- +)?)([A-Za-z_][\w.-]*|\"[^\"\n]*\"|'[^'\n]*')[ \t]*:[ \t]+(\S.*)")
BLOCK_SCALAR = re.compile(r"[|>][-+0-9]*(?:[ \t]+#.*)?")

Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

encode = msgspec.json.encode


class Document(SkillFields, frozen=True, kw_only=True):
    """What a SKILL.md says. ``frontmatter`` holds the source lines of unknown keys as they were, each with its ``\\n``."""

    name: str
    body: str


class Parsed(msgspec.Struct, frozen=True):
    """``document`` is None when a problem is an error; ``name`` is what the file says it is, valid or not."""

    document: Document | None
    problems: list[Problem]
    name: str = ""


# Writing


def head(document: Document, number: int) -> str:
    """The frontmatter of version ``number``, from ``---`` to the line end after the other ``---``."""
    return numbered(frame(document.name, document), number)


def numbered(frame: Sequence[str], number: int) -> str:
    return str(number).join(frame)


def frame(name: str, fields: SkillFields) -> tuple[str, ...]:
    """The frontmatter, parted where the number of the version goes; in one part where the fields bring a version."""
    lines = ["---\nname: ", scalar(name), "\ndescription: ", scalar(fields.description)]
    if fields.license:
        lines += ("\nlicense: ", scalar(fields.license))
    if fields.compatibility:
        lines += ("\ncompatibility: ", scalar(fields.compatibility))
    if fields.allowed_tools and (tools := _tools_text(fields.allowed_tools)):
        lines += ("\nallowed-tools: ", scalar(tools))
    lines.append("\nmetadata:")
    version = ""
    for key, value in fields.metadata.items():
        text = value if type(value) is str else encode(value).decode()
        if key == "version":
            version = text
        else:
            lines.append(_member(key, text))
    end = f"\n{fields.frontmatter}---\n"
    if version and not WHOLE.fullmatch(version):
        lines += (_member("version", version), end)
        return ("".join(lines),)
    lines.append('\n  version: "')
    return "".join(lines), '"' + end


def name_of(head: bytes) -> str:
    """The name in the frontmatter that ``frame`` begins."""
    line = head[len(b"---\nname: ") : head.index(b"\n", len(b"---\n"))]
    return line.strip(b'"').decode()


def _member(key: str, text: str) -> str:
    name = scalar(key) if PLAIN_KEY.fullmatch(key) else quoted(key)
    if len(name) < LONG_KEY:
        return f"\n  {name}: {scalar(text)}"
    return f"\n  ? {name}\n  : {scalar(text)}"


def scalar(text: str) -> str:
    """A text on one line, plain where that is safe."""
    return _short(text) if len(text) <= MAX_DESCRIPTION else _scalar(text)


def _scalar(text: str) -> str:
    if PLAIN.fullmatch(text) and "---" not in text and text[-1] != " " and text.lower() not in WORDS:
        return text
    return quoted(text)


# The versions of a skill have most of their texts in common.
_short = lru_cache(maxsize=4096)(_scalar)


def quoted(text: str) -> str:
    """A text in double quotes. It holds no ``---``, which simple readers would take for the end."""
    inner = ESCAPED.sub(_escape, text)
    if "---" in inner:
        inner = inner.replace("--", "-\\x2d")
    return f'"{inner}"'


def _escape(match: "re.Match[str]") -> str:
    char = match[0]
    known = ESCAPES.get(char)
    if known is not None:
        return known
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _tools_text(tools: Iterable[str]) -> str:
    text = " ".join(tools)
    return " ".join(TOOL.findall(text)) if "," in text or "(" in text else text


def digest(skill_md: Ref, files: Iterable[FileRef]) -> str:
    """The digest of all files of a skill: of the lines that ``sha256sum`` prints for them, sorted by path."""
    return listed(listing(files), skill_md)


def listing(files: Iterable[FileRef]) -> tuple[str, str]:
    """Those lines, parted where the SHA-256 of SKILL.md goes."""
    before, after = "", "  SKILL.md\n"
    for path, sha256 in sorted([(file.path, file.sha256) for file in files]):
        if path < "SKILL.md":
            before += f"{sha256}  {path}\n"
        else:
            after += f"{sha256}  {path}\n"
    return before, after


def listed(listing: Sequence[str], skill_md: Ref) -> str:
    return "sha256:" + hashlib.sha256(skill_md.sha256.join(listing).encode()).hexdigest()


# Reading


class Broken(Exception):
    """Frontmatter that is no YAML that a skill can have; ``line`` counts from 1 in SKILL.md."""

    def __init__(self, message: str, line: int, code: str = "invalid_yaml") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.code = code


class Node(msgspec.Struct):
    """A value of the frontmatter: a text, a list of nodes, or pairs of nodes. ``line`` counts from 0 in the frontmatter, as
    ``commented`` does: where a comment follows a plain text."""

    value: Any
    line: int
    plain: bool = False
    block: bool = False
    flow: bool = False
    pairs: bool = False
    commented: int | None = None


def parse(data: bytes) -> Parsed:
    """A SKILL.md as it was found. Never raises: what is wrong stands in the problems, all of it."""
    return _Reading(data).parsed()


class _Reading:
    """The reading of one SKILL.md, with the problems that were met."""

    def __init__(self, data: bytes) -> None:
        self.data = data.removeprefix(BOM)
        self.problems: list[Problem] = []
        self.name = ""

    def parsed(self) -> Parsed:
        document = self._document()
        failed = any(problem.severity == "error" for problem in self.problems)
        return Parsed(None if failed else document, self.problems, self.name)

    def _error(self, code: str, message: str) -> None:
        self.problems.append(Problem(code, message[:MAX_MESSAGE], severity="error"))

    def _warn(self, code: str, message: str) -> None:
        self.problems.append(Problem(code, message[:MAX_MESSAGE]))

    def _document(self) -> Document | None:
        parts = self._parts()
        if parts is None:
            return None
        source, body_bytes = parts
        body = self._body(body_bytes, source.count(b"\n") + 2)
        text = self._text(source)
        if text is None:
            return None
        try:
            text, root = self._root(text)
            entries = _entries(root, "the frontmatter")
        except Broken as broken:
            self._error(broken.code, f"Line {broken.line}: {broken.message}")
            return None
        self._stray(entries)
        self._comments(entries)
        description = self._one_line(entries, "description", MAX_DESCRIPTION, required=True)
        document = Document(
            name=self._name(entries),
            description=description,
            body=body,
            license=self._one_line(entries, "license", MAX_LICENSE),
            compatibility=self._one_line(entries, "compatibility", MAX_COMPATIBILITY),
            allowed_tools=self._tools(entries),
            metadata=self._metadata(entries),
            frontmatter=self._unknown(text, root),
        )
        if any(SURROGATE.search(part) or "\0" in part for part in _texts(document)):
            self._error(
                "invalid_characters", "The frontmatter holds a NUL or half of a character as an escape."
            )
        return document

    def _parts(self) -> tuple[bytes, bytes] | None:
        """The source of the frontmatter and the bytes of the body."""
        if self.data.startswith(UTF16):
            self._error("not_utf8", "Line 1: the text is UTF-16. Save SKILL.md as UTF-8.")
            return None
        opening = CLOSING.match(self.data)
        if opening is None:
            if not self._is_utf8():
                return None
            what = "is empty" if not self.data.strip() else "does not begin with one"
            self._error(
                "no_frontmatter",
                f"SKILL.md needs a frontmatter, and {what}: let its first line be '---', then 'name:' and "
                "'description:', then '---' again.",
            )
            return None
        closing = CLOSING.search(self.data, opening.end())
        if closing is None and opening[0].endswith(b"\r"):
            self._error(
                "line_ends",
                "Line 1: lines end in a carriage return alone. Save SKILL.md with LF as line end.",
            )
            return None
        if closing is None:
            self._error("no_frontmatter", "The frontmatter has no end: put a line '---' after its last key.")
            return None
        source = self.data[opening.end() : closing.start()]
        if len(source) > MAX_FRONTMATTER_BYTES:
            self._error("max_size", f"The frontmatter has over {MAX_FRONTMATTER_BYTES:,} bytes.")
            return None
        return source, self.data[closing.end() :]

    def _is_utf8(self) -> bool:
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            at = 1 + self.data.count(b"\n", 0, error.start)
            self._error("not_utf8", f"Line {at}: the text is not UTF-8. Save SKILL.md as UTF-8.")
            return False
        return True

    def _body(self, data: bytes, line: int) -> str:
        try:
            body = data.decode()
        except UnicodeDecodeError as error:
            at = line + 1 + data.count(b"\n", 0, error.start)
            self._error("not_utf8", f"Line {at}: the text is not UTF-8. Save SKILL.md as UTF-8.")
            return ""
        if "\0" in body:
            at = line + 1 + body.count("\n", 0, body.index("\0"))
            self._error("null_characters_not_allowed", f"Line {at}: the body holds a NUL character.")
        if not body.strip():
            self._error(
                "blank_body", "There is no text after the frontmatter: write what an agent should do."
            )
        if len(data) > MAX_CONTENT_BYTES:
            self._error(
                "max_size", f"The body has {len(data):,} bytes; at most {MAX_CONTENT_BYTES:,} are allowed."
            )
        return body

    def _text(self, source: bytes) -> str | None:
        try:
            return source.decode().replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            at = 2 + source.count(b"\n", 0, error.start)
            self._error("not_utf8", f"Line {at}: the text is not UTF-8. Save SKILL.md as UTF-8.")
            return None

    def _root(self, text: str) -> tuple[str, Node]:
        """The mapping of the frontmatter, and the text that it was read from. Raises Broken."""
        try:
            return text, _compose(text)
        except Broken as broken:
            repaired, lines = _repaired(text)
            if not lines:
                raise
            try:
                root = _compose(repaired)
            except Broken:
                raise broken from None
        for line, key in lines[:MAX_OF_A_KIND]:
            self._warn(
                "unquoted_text",
                f"Line {line + 2}: the value of '{key}' is not valid YAML and was read as plain text. "
                "Put it in double quotes, because strict installers refuse it.",
            )
        if (more := len(lines) - MAX_OF_A_KIND) > 0:
            self._warn("unquoted_text", f"{more:,} more values must be put in double quotes.")
        return repaired, root

    def _stray(self, entries: Mapping[str, Node]) -> None:
        stray = [key for key in entries if key.lower() in KNOWN_KEYS and key not in KNOWN_KEYS]
        for key in stray[:MAX_OF_A_KIND]:
            self._warn("key_case", f"'{key}' is written '{key.lower()}': as it is, no reader knows it.")

    def _comments(self, entries: Mapping[str, Node]) -> None:
        """Warn of what looks like a part of a value and is a comment to YAML. Unknown keys keep theirs."""
        found: list[tuple[int, str]] = []
        stack = [(key, entries[key]) for key in KNOWN_KEYS if key in entries]
        while stack:
            key, node = stack.pop()
            if node.commented is not None:
                found.append((node.commented, key))
            elif node.pairs:
                stack += [(str(name.value), value) for name, value in node.value]
            elif isinstance(node.value, list):
                stack += [(key, item) for item in node.value]
        for line, key in sorted(found)[:MAX_OF_A_KIND]:
            self._warn(
                "comment",
                f"Line {line + 2}: what follows ' #' is a comment and no part of '{key}'. Put the value in double "
                "quotes if it belongs to it.",
            )

    def _name(self, entries: Mapping[str, Node]) -> str:
        node = entries.get("name")
        if node is None or node.value == "":
            self._error("required", "The frontmatter needs 'name', equal to the name of the skill's folder.")
            return ""
        if not isinstance(node.value, str):
            self._error("invalid_name", f"Line {node.line + 2}: 'name' must be text.")
            return ""
        name = self.name = node.value.strip()
        try:
            check_skill_name(name)
        except Invalid as invalid:
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")
            hint = f" '{slug}' would do." if slug and slug != "new" and invalid.code == "invalid_name" else ""
            self._error(
                invalid.code,
                f"Line {node.line + 2}: the name '{name[:80]}' is not valid. {invalid.detail}{hint}",
            )
        return name

    def _one_line(
        self, entries: Mapping[str, Node], key: str, longest: int, *, required: bool = False
    ) -> str:
        node = entries.get(key)
        text = "" if node is None else self._joined(node, key, lists=not required)
        if node is not None and len(text) > longest:
            self._error(
                "max_length",
                f"Line {node.line + 2}: '{key}' has {len(text):,} characters; at most {longest:,} are allowed.",
            )
        if required and not text and not (node is not None and isinstance(node.value, list)):
            self._error(
                "required", f"The frontmatter needs '{key}': say what the skill does and when to use it."
            )
        return text

    def _joined(self, node: Node, key: str, *, lists: bool) -> str:
        if isinstance(node.value, str):
            return node.value.strip()
        if lists and not node.pairs and all(isinstance(item.value, str) for item in node.value):
            self._warn(
                "no_text", f"Line {node.line + 2}: '{key}' must be text; its list was joined by commas."
            )
            return ", ".join(item.value.strip() for item in node.value)
        self._error("no_text", f"Line {node.line + 2}: '{key}' must be text. Put it in double quotes.")
        return ""

    def _tools(self, entries: Mapping[str, Node]) -> tuple[str, ...]:
        node = entries.get("allowed-tools")
        if node is None:
            return ()
        if isinstance(node.value, str):
            return self._bounded_tools(node, TOOL.findall(node.value))
        if node.pairs or not all(isinstance(item.value, str) for item in node.value):
            self._error(
                "invalid_allowed_tools",
                f"Line {node.line + 2}: 'allowed-tools' must be one text, as in 'Read Bash(git:*)'.",
            )
            return ()
        return self._bounded_tools(node, [tool for item in node.value for tool in TOOL.findall(item.value)])

    def _bounded_tools(self, node: "Node", tools: Sequence[str]) -> tuple[str, ...]:
        if len(tools) > MAX_TOOLS or any(len(tool) > MAX_TOOL for tool in tools):
            self._error(
                "max_length",
                f"Line {node.line + 2}: 'allowed-tools' has at most {MAX_TOOLS} entries of {MAX_TOOL} characters each.",
            )
            return ()
        return tuple(tools)

    def _metadata(self, entries: Mapping[str, Node]) -> dict[str, Any]:
        node = entries.get("metadata")
        if node is None or (node.value == "" or (node.plain and node.value in CONSTANTS)):
            return {}
        if not node.pairs:
            self._error(
                "invalid_metadata",
                f"Line {node.line + 2}: 'metadata' must be a mapping, with one 'key: value' on each line below it.",
            )
            return {}
        try:
            members = _entries(node, "metadata")
            metadata = {
                key: value.value if isinstance(value.value, str) else _json(value)
                for key, value in members.items()
            }
        except Broken as broken:
            self._error(broken.code, f"Line {broken.line}: {broken.message}")
            return {}
        version = metadata.get("version")
        if isinstance(version, str) and WHOLE.fullmatch(version):
            # The registry's own number of the version, which it wrote there itself.
            del metadata["version"]
        if any(SURROGATE.search(part) for part in _strings(metadata)):
            return {}
        if len(metadata) > MAX_METADATA_KEYS:
            self._error(
                "max_length", f"'metadata' has {len(metadata)} keys; at most {MAX_METADATA_KEYS} are allowed."
            )
            return {}
        size = encode(metadata)
        if len(size) > MAX_METADATA_BYTES:
            self._error(
                "max_size", f"'metadata' has {len(size):,} bytes; at most {MAX_METADATA_BYTES:,} are allowed."
            )
        elif depth(size) > MAX_METADATA_DEPTH:
            self._error("invalid_metadata", f"'metadata' is nested deeper than {MAX_METADATA_DEPTH} levels.")
        return metadata

    def _unknown(self, text: str, root: Node) -> str:
        """The source lines of the keys that the specification does not know."""
        if root.flow:
            # Several keys may stand on one line.
            if any(key.value not in KNOWN_KEYS for key, _ in root.value):
                self._error(
                    "flow_style", "Line 2: write the frontmatter as 'key: value' lines, not within braces."
                )
            return ""
        starts = [key.line for key, _ in root.value]
        lines = text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        ends = [*starts[1:], len(lines)]
        kept: list[str] = []
        before = lines[: starts[0]] if starts else []
        for (key, value), start, end in zip(root.value, starts, ends, strict=True):
            own = lines[start:end]
            # Comments and blank lines in front of a key are that key's, unless the text before may end in blank lines.
            size = len(own)
            while size > 1 and (
                own[size - 1].startswith("#") or (not own[size - 1].strip() and not value.block)
            ):
                size -= 1
            if key.value not in KNOWN_KEYS:
                indent = len(own[0]) - len(own[0].lstrip(" "))
                kept += [line[indent:] if line[:indent].isspace() else line for line in before + own[:size]]
            before = own[size:]
        unknown = "".join(line + "\n" for line in kept)
        if unknown and _keys_of(unknown) != [
            key.value for key, _ in root.value if key.value not in KNOWN_KEYS
        ]:
            self._error(
                "invalid_yaml", "The keys that the specification does not know must each begin a line."
            )
        return unknown


def _keys_of(source: str) -> list[str]:
    try:
        return [key.value for key, _ in _compose(source).value]
    except Broken:
        return []


def _texts(document: Document) -> Iterator[str]:
    yield document.name
    for field in Details.__struct_fields__:
        yield from _strings(getattr(document, field))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)


def _compose(text: str) -> Node:
    """The root mapping of a YAML text, of bounded depth and without aliases, so of bounded size. Raises Broken."""
    hidden = _hide_breaks(text)
    lines = hidden.text.split("\n")
    root: Node | None = None
    stack: list[tuple[Node, list[Node]]] = []
    try:
        for event in yaml.parse(hidden.text, Loader=Loader):
            line = event.start_mark.line if event.start_mark else 0
            match event:
                case yaml.AliasEvent():
                    raise Broken(
                        f"'*{event.anchor}' is an alias to YAML. Put the value in double quotes if it is text.",
                        line + 2,
                        "yaml_alias",
                    )
                case yaml.ScalarEvent():
                    node = Node(
                        hidden.back(event.value),
                        line,
                        plain=event.style in (None, ""),
                        block=event.style in ("|", ">"),
                    )
                    if node.plain and node.value and event.end_mark:
                        end = event.end_mark
                        if end.line < len(lines) and COMMENT.match(lines[end.line], end.column):
                            node.commented = end.line
                case yaml.CollectionStartEvent():
                    if len(stack) >= MAX_DEPTH:
                        raise Broken(f"This is nested deeper than {MAX_DEPTH} levels.", line + 2, "too_deep")
                    pairs = isinstance(event, yaml.MappingStartEvent)
                    stack.append((Node([], line, pairs=pairs, flow=bool(event.flow_style)), []))
                    continue
                case yaml.CollectionEndEvent():
                    node, items = stack.pop()
                    node.value = list(zip(items[::2], items[1::2], strict=True)) if node.pairs else items
                case yaml.DocumentStartEvent():
                    if root is not None:
                        raise Broken("The frontmatter must be one YAML document.", line + 2)
                    continue
                case _:
                    continue
            if stack:
                stack[-1][1].append(node)
                if node.block:
                    stack[-1][0].block = True
            else:
                root = node
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        line = place.line if place else 0
        raise Broken(_what(error, text, line), line + 2) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        raise Broken("A control character is not allowed here.", 2 + text.count("\n", 0, position)) from None
    except UnicodeEncodeError:
        raise Broken("Half of a character is not allowed.", 2) from None
    if root is None or not root.pairs:
        raise Broken("The frontmatter must consist of 'key: value' lines.", 2)
    return root


def _what(error: "yaml.MarkedYAMLError", text: str, line: int) -> str:
    """What the parser found, with a way out."""
    lines = text.split("\n")
    found = lines[line] if line < len(lines) else ""
    what = f"{error.problem or error.context or 'this is no valid YAML'}."
    if found.lstrip(" ").startswith("\t") or found.startswith("\t"):
        return f"{what} Indent with spaces, not with tabs."
    if "mapping values are not allowed" in what:
        return f"{what} A text with a colon and a space in it must stand in double quotes."
    if "indentation" in what or "block mapping" in what or "expected ':'" in what:
        return f"{what} Check the indentation and the quotes of this line and the one before it."
    return f"{what} Put the text in double quotes if it is one."


class _Hidden(msgspec.Struct):
    """A text whose line separators are private characters, because the parser would take them for ends of lines."""

    text: str
    stand_ins: dict[str, str]

    def back(self, text: str) -> str:
        for stand_in, char in self.stand_ins.items():
            text = text.replace(stand_in, char)
        return text


def _hide_breaks(text: str) -> _Hidden:
    hidden = _Hidden(text, {})
    free = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    for char in NO_BREAKS:
        if char in text:
            stand_in = next(free, None)
            if stand_in is not None:
                hidden.stand_ins[stand_in] = char
                hidden.text = hidden.text.replace(char, stand_in)
    return hidden


def _entries(node: Node, where: str) -> dict[str, Node]:
    """The pairs of a mapping by key. Raises Broken."""
    entries: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key.value, str):
            raise Broken(f"A key of {where} must be text.", key.line + 2)
        if key.value in entries:
            raise Broken(f"{where} has the key '{key.value}' twice.", key.line + 2, "duplicate_key")
        entries[key.value] = value
    return entries


def _json(node: Node) -> Any:
    """A nested value of metadata as JSON. Raises Broken."""
    if node.pairs:
        return {key: _json(value) for key, value in _entries(node, "metadata").items()}
    if isinstance(node.value, list):
        return [_json(item) for item in node.value]
    text: str = node.value
    if node.plain:
        if text in CONSTANTS:
            return CONSTANTS[text]
        if INTEGER.fullmatch(text):
            return text if text == "-0" else int(text)
        if DECIMAL.fullmatch(text) and repr(float(text)) == text:
            return float(text)
    return text


def _repaired(text: str) -> tuple[str, list[tuple[int, str]]]:
    """The text with those one-line values in quotes that are no YAML as they stand; and which, by line and key.

    Writers forget the quotes around a text with a colon in it, and most installers read it all the same.
    """
    lines = text.split("\n")
    kept: list[str] = []
    found: list[tuple[int, str]] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        entry = ENTRY.fullmatch(line)
        start, index = index, index + 1
        if entry is None:
            kept.append(line)
            continue
        indent = len(entry[1])
        deeper = " " * (indent + 1)
        while index < len(lines) and (
            lines[index].startswith(deeper) or (not lines[index].strip() and index + 1 < len(lines))
        ):
            index += 1
        more = lines[start + 1 : index]
        if not _is_bare(entry[3]) or _is_entry(entry[2], "\n".join([entry[3], *more])):
            kept += [line, *more]
            continue
        value = " ".join(part.strip() for part in [entry[3], *more] if part.strip())
        kept.append(f"{entry[1]}{entry[2]}: {quoted(value)}")
        # The lines that follow keep their numbers.
        kept += [""] * len(more)
        found.append((start, entry[2]))
    return "\n".join(kept), found


def _is_bare(value: str) -> bool:
    """Whether a value can be meant as plain text: no block scalar, and no quotes that were meant to surround it."""
    if BLOCK_SCALAR.fullmatch(value):
        return False
    quote = value[0]
    return quote not in "\"'" or (quote in value[1:] and not value.endswith(quote))


def _is_entry(key: str, value: str) -> bool:
    """Whether a key with its value is YAML. What only may not be in a frontmatter is, too, but no text behind a star."""
    try:
        _compose(f"{key}: {value}")
    except Broken as broken:
        return broken.code != "invalid_yaml" and not value.startswith("*")
    return True
