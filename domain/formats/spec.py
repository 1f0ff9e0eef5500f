"""What is wrong, or not as it should be, with a skill by the rules of Agent Skills (agentskills.io/specification).

``problems`` runs whenever a version is made, so it looks at the text with a few fast scans, and parses no Markdown.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection
from typing import Literal
from urllib.parse import unquote

import msgspec

from domain.artifacts.skills import SkillFields

# The specification recommends to stay below both; a token is about four bytes of text.
MAX_BODY_LINES = 500
MAX_BODY_TOKENS = 5000
BYTES_PER_TOKEN = 4

# Links are sought in the beginning of a body: one that is longer has a problem of its own, and hostile ones cost 20 ms at most.
MAX_SOUGHT = 100_000

# Of one kind, so that a long text full of dead links does not make a long list.
MAX_OF_A_KIND = 20

KNOWN_KEYS = ("name", "description", "license", "compatibility", "allowed-tools", "metadata")

KEY = re.compile(r"^([^\s#:'\"][^\s:]*|\"[^\"\n]*\"|'[^'\n]*')\s*:", re.MULTILINE)
LINK = re.compile(rb"\]\([ \t]*<?([^)\s>]+)")
DEFINED = re.compile(rb"^ {0,3}\[[^\]\n]+\]:[ \t]*<?([^\s>]+)", re.MULTILINE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
FENCE = re.compile(rb" {0,3}(`{3,}|~{3,})")
# Only a whole run of backticks opens: parts of a long one would be tried one after the other.
INLINE_CODE = re.compile(rb"(?<!`)(`+)(?!`)[^`\n]*\1")
# What Windows or git cannot check out.
UNPORTABLE = re.compile(r'^.*(?:[<>:"|?*]|[. ](?=/|$)|(?:^|/)\.git(?=/|$)).*$', re.MULTILINE | re.IGNORECASE)

# Devices of Windows, whatever their extension and in any folder.
DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])"
DEVICES = re.compile(rf"^(?:.*/)?{DEVICE} *(?:[.:/].*)?$", re.MULTILINE | re.IGNORECASE)
DEVICE_NAME = re.compile(DEVICE)
MAX_SEGMENT = 255  # bytes, of nearly all file systems
LONG = re.compile(r"^.*[^/\n]{64}.*$", re.MULTILINE)  # so many characters may be more bytes
ATTRIBUTES = re.compile(
    r"^(?:.*/)?(?:\.gitattributes|gitatt~[0-9])[ .]*(?:[:/].*)?$", re.MULTILINE | re.IGNORECASE
)

LEFT_OUT = "left_out_path"

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct, frozen=True):
    """``path`` is the file to look at, ``SKILL.md`` or one beside it. An error keeps a skill from being imported."""

    code: str
    message: str
    path: str = "SKILL.md"
    severity: Severity = "warning"


def problems(name: str, fields: SkillFields, body: bytes, paths: Collection[str]) -> list[Problem]:
    """What a version of a skill should do better; ``paths`` are those of its files. All of them are warnings."""
    return [*of_fields(name, fields), *of_body(body), *of_paths(paths), *of_links(body, targets(body), paths)]


def of_fields(name: str, fields: SkillFields) -> list[Problem]:
    unknown = (
        [match[1].strip("'\"") for match in KEY.finditer(fields.frontmatter)] if fields.frontmatter else []
    )
    no_text = [key for key, value in fields.metadata.items() if type(value) is not str]
    found = [_unknown_key(key) for key in unknown[:MAX_OF_A_KIND]]
    if DEVICE_NAME.fullmatch(name):
        found.append(msgspec.structs.replace(_device(name), path="SKILL.md"))
    if (more := len(unknown) - MAX_OF_A_KIND) > 0:
        found.append(Problem("unknown_key", f"{more:,} more keys are none of the specification."))
    found += [
        Problem(
            "metadata_no_text",
            f"The value of '{key}' in metadata is no text: SKILL.md carries it as JSON text.",
        )
        for key in no_text[:MAX_OF_A_KIND]
    ]
    if (more := len(no_text) - MAX_OF_A_KIND) > 0:
        found.append(Problem("metadata_no_text", f"{more:,} more values in metadata are no text."))
    return found


def of_body(body: bytes) -> list[Problem]:
    """How long it is; for its links see ``of_links``."""
    found: list[Problem] = []
    lines = body.count(b"\n")
    if lines > MAX_BODY_LINES:
        found.append(
            Problem(
                "long_body",
                f"The body has {lines:,} lines. Keep it under {MAX_BODY_LINES}: move details into files that it links to.",
            )
        )
    if len(body) > MAX_BODY_TOKENS * BYTES_PER_TOKEN:
        found.append(
            Problem(
                "large_body",
                f"The body has about {len(body) // BYTES_PER_TOKEN:,} tokens, all of which an agent reads at once. "
                f"Keep it under {MAX_BODY_TOKENS:,}: move details into files that it links to.",
            )
        )
    return found


def _unknown_key(key: str) -> Problem:
    return Problem(
        "unknown_key",
        f"'{key}' is no key of the Agent Skills specification, so strict validators refuse it. It is kept as it is.",
    )


def of_paths(paths: Collection[str]) -> list[Problem]:
    if not paths:
        return []
    found = [
        Problem("unportable_path", f"Not every system can check out the path '{path}'.", path)
        for path in UNPORTABLE.findall("\n".join(paths))[:MAX_OF_A_KIND]
    ]
    joined = "\n".join(paths)
    found += [_device(path) for path in DEVICES.findall(joined)[:MAX_OF_A_KIND]]
    found += [
        Problem(
            "long_segment",
            f"A part of the path '{path}' has more than {MAX_SEGMENT} bytes; no system takes it.",
            path,
        )
        for path in [path for path in LONG.findall(joined) if _is_long(path)][:MAX_OF_A_KIND]
    ]
    found += [
        Problem(
            "left_out_of_git",
            f"Git leaves '{path}' out: it would change how the files of all are checked out.",
            path,
        )
        for path in ATTRIBUTES.findall(joined)[:MAX_OF_A_KIND]
    ]
    return found + _clashes(paths)


def _device(path: str) -> Problem:
    return Problem(
        "device_name", f"Windows has no file or folder as in '{path}': it is the name of a device.", path
    )


def _is_long(path: str) -> bool:
    return any(len(segment.encode()) > MAX_SEGMENT for segment in path.split("/"))


def _clashes(paths: Collection[str]) -> list[Problem]:
    """Paths that are one where a file system folds case or composes characters, files and folders alike."""
    found: list[Problem] = []
    files: dict[str, str] = {}
    for path in paths:
        other = files.setdefault(_folded(path), path)
        if other is not path:
            found.append(
                Problem("case_clash", f"'{path}' and '{other}' are one file where case does not count.", path)
            )
    for path in paths:
        folded = _folded(path)
        at = folded.find("/")
        while at >= 0:
            if (file := files.get(folded[:at])) is not None:
                found.append(
                    Problem(
                        "case_clash",
                        f"'{file}' is a file and the folder of '{path}' at once where case does not count.",
                        path,
                    )
                )
                break
            at = folded.find("/", at + 1)
    return found


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def of_left_out(paths: Collection[str]) -> list[Problem]:
    """For files of versions from before a rule that refuses them (see ``domain.content.is_unsafe``)."""
    return [
        Problem(
            LEFT_OUT,
            f"'{path}' is left out wherever the skill is read or installed: it would harm a checkout. Publish without it.",
            path,
        )
        for path in paths
    ]


def of_links(body: bytes, targets: list[bytes], paths: Collection[str]) -> list[Problem]:
    """``targets`` are those of the body."""
    if not targets or not _bad_links(targets, paths):
        return []
    # Examples in code are no links; that look is worth its time only where there is something to report.
    found = _bad_links(_targets(b"\n".join(_prose(_sought(body)))), paths)
    more = len(found) - MAX_OF_A_KIND
    if more > 0:
        found[MAX_OF_A_KIND:] = [Problem("missing_file", f"{more:,} more links of the body lead nowhere.")]
    return found


def targets(body: bytes) -> list[bytes]:
    """Where the links of a body go, each target once, in their order."""
    return _targets(_sought(body)) if b"]" in body else []


def _sought(body: bytes) -> bytes:
    return body if len(body) <= MAX_SOUGHT else body[: body.rfind(b"\n", 0, MAX_SOUGHT) + 1]


def _targets(body: bytes) -> list[bytes]:
    found = LINK.findall(body) if b"](" in body else []
    if b"]:" in body:
        found += DEFINED.findall(body)
    return list(dict.fromkeys(found))


def _prose(body: bytes) -> list[bytes]:
    """The lines that stand in no code block, without what is code inside of them."""
    kept: list[bytes] = []
    fence = b""
    for line in body.split(b"\n"):
        opening = FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence) and not line[opening.end() :].strip(b"`~ \t\r"):
                fence = b""
        elif opening:
            fence = opening[1]
        elif b"]" in line:
            kept.append(INLINE_CODE.sub(b"", line) if b"`" in line else line)
    return kept


def _bad_links(targets: list[bytes], paths: Collection[str]) -> list[Problem]:
    ordered = sorted(paths)
    found = [_bad_link(target.decode(), paths, ordered) for target in targets]
    return [problem for problem in found if problem is not None]


def _bad_link(link: str, paths: Collection[str], ordered: list[str]) -> Problem | None:
    """``ordered`` are the ``paths``, so that a folder is found without a look at each."""
    if link.startswith(("#", "//", "{", "$", "<")):
        return None
    if link.startswith(("/", "~/", "file:")) or DRIVE.match(link):
        return Problem("absolute_link", f"The body links to '{link}', which is no path within the skill.")
    if SCHEME.match(link):
        return None
    if link in paths:
        return None
    target = link.partition("#")[0].partition("?")[0]
    if "%" in target:
        target = unquote(target)
    segments: list[str] = []
    for segment in target.replace("\\", "/").split("/"):
        if segment == "..":
            if not segments:
                return Problem(
                    "outside_link",
                    f"The body links to '{link}', outside of the skill: an installed skill does not have it.",
                )
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    path = "/".join(segments)
    if not path or path in paths or path == "SKILL.md":
        return None
    folder = path + "/"
    first = bisect_left(ordered, folder)
    if first < len(ordered) and ordered[first].startswith(folder):
        return None
    return Problem("missing_file", f"The body links to '{link}', but the skill has no such file.", path)
