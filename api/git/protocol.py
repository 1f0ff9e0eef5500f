"""What git says over HTTP, both ways, as plain functions: protocol version 2, and 0 and 1 for clients that do not ask for it.

Every request stands alone (``stateless-rpc``), so nothing is kept between two of them.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from domain.errors import Invalid
from domain.formats.git import OID
from projections.git.packs import FetchRequest, Places, Plan

FLUSH, DELIM = b"0000", b"0001"
MAX_DATA = 65516  # bytes that one packet carries
SMALL_DATA = 996  # the same for clients that know only the first kind of side band
PACK_BAND = b"\x01"

AGENT = b"agent=skald"
FORMAT = b"object-format=sha1"
BRANCH = b"refs/heads/main"
SERVICE = b"git-upload-pack"

CAPABILITIES_V0 = b" ".join(
    (
        b"multi_ack_detailed no-done side-band side-band-64k thin-pack shallow deepen-since deepen-relative",
        b"no-progress include-tag ofs-delta allow-tip-sha1-in-want allow-reachable-sha1-in-want",
        b"symref=HEAD:%b" % BRANCH,
        FORMAT,
        AGENT,
    )
)
CAPABILITIES_V2 = (AGENT, b"ls-refs=unborn", b"fetch=shallow wait-for-done", b"server-option", FORMAT)

MAX_DEPTH = 2**31 - 1

# What would change the answer and is not done, with what is. Clients ask for most of it only where it is advertised.
UNSUPPORTED = {
    b"deepen-not": "this repository has one branch and no tags; use --depth or --shallow-since",
    b"filter": "this repository sends whole objects only; use --depth to fetch less",
    b"want-ref": "this repository takes ids only",
    b"packfile-uris": "this repository sends packs itself only",
    b"sideband-all": "this repository multiplexes packs only",
}


class Unsupported(Exception):
    """A request that git can make, for something that this repository does not do; the text is for the user."""


class Marker(NamedTuple):
    """A packet without data: the end of a message, or of a section of it."""

    code: bytes


Packet = bytes | Marker
DELIMITED = Marker(DELIM)


def packet(data: bytes) -> bytes:
    return b"%04x%b" % (len(data) + 4, data)


def line(data: bytes) -> bytes:
    return packet(data + b"\n")


def failure(message: str) -> bytes:
    """What a client shows to its user before it gives up."""
    return packet(b"ERR " + message.encode())


def packets(body: bytes) -> Iterator[Packet]:
    """The packets of a request, lines without their end. Raises Invalid."""
    at = 0
    while at < len(body):
        try:
            size = int(body[at : at + 4], 16)
        except ValueError:
            raise malformed() from None
        if size < 4:
            yield Marker(body[at : at + 4])
            at += 4
            continue
        if size > len(body) - at:
            raise malformed()
        yield body[at + 4 : at + size].removesuffix(b"\n")
        at += size


def malformed() -> Invalid:
    return Invalid("The body is no request of git-upload-pack.", code="parse_error")


def version_of(header: bytes | None) -> int:
    """The protocol that a ``Git-Protocol`` header names; 0 when it names none that we know."""
    versions = [0]
    for part in (header or b"").split(b":"):
        key, _, value = part.strip().partition(b"=")
        if key == b"version" and value in (b"1", b"2"):
            versions.append(int(value))
    return max(versions)


# What every answer of versions 0 and 1 to the first request begins with.
HELLO = line(b"# service=" + SERVICE) + FLUSH


def advertise_v2() -> bytes:
    return b"".join((line(b"version 2"), *map(line, CAPABILITIES_V2), FLUSH))


def advertise(head: bytes, version: int, *, cut: bool = False) -> bytes:
    """What versions 0 and 1 begin with: all refs, and where a history that is ``cut`` begins."""
    oid = head.hex().encode()
    parts = [HELLO]
    if version == 1:
        parts.append(line(b"version 1"))
    parts += [line(b"%b HEAD\0%b" % (oid, CAPABILITIES_V0)), line(b"%b %b" % (oid, BRANCH))]
    parts += [line(b"shallow " + oid)] if cut else []
    parts.append(FLUSH)
    return b"".join(parts)


def ls_refs(head: bytes, arguments: Sequence[bytes]) -> bytes:
    oid = head.hex().encode()
    prefixes = tuple(one.partition(b" ")[2] for one in arguments if one.startswith(b"ref-prefix "))
    symrefs = b" symref-target:" + BRANCH if b"symrefs" in arguments else b""
    refs = {b"HEAD": oid + b" HEAD" + symrefs, BRANCH: oid + b" " + BRANCH}
    shown = [text for name, text in refs.items() if not prefixes or name.startswith(prefixes)]
    return b"".join((*map(line, shown), FLUSH))


class Command(msgspec.Struct, frozen=True):
    """A request of version 2. An empty name is no command: a client that only tries whether it is authorized."""

    name: bytes
    capabilities: tuple[bytes, ...]
    arguments: tuple[bytes, ...]


def command_of(body: bytes) -> Command:
    """Raises Invalid."""
    sections: list[list[bytes]] = [[], []]
    place = 0
    for one in packets(body):
        if isinstance(one, bytes):
            sections[place].append(one)
        elif one == DELIMITED and place == 0:
            place = 1
        else:
            break
    head, arguments = sections
    names = [one.partition(b"=")[2] for one in head if one.startswith(b"command=")]
    if len(names) > 1 or (not names and head):
        raise malformed()
    rest = tuple(one for one in head if not one.startswith(b"command="))
    return Command(names[0] if names else b"", rest, tuple(arguments))


class Fetch(msgspec.Struct, frozen=True):
    """A fetch of any version: what is wanted, and how the client speaks."""

    asked: FetchRequest
    done: bool
    # Versions 0 and 1 only.
    capabilities: frozenset[bytes] = frozenset()
    wait_for_done: bool = False
    # Whether anything came after the wants; without it the client only wants the boundary.
    negotiates: bool = True


def fetch_v2(arguments: Iterable[bytes]) -> Fetch:
    """Raises Invalid."""
    lines = _Lines()
    for argument in arguments:
        lines.take(argument)
    return Fetch(lines.asked(), b"done" in lines.flags, wait_for_done=b"wait-for-done" in lines.flags)


def fetch_v0(body: bytes) -> Fetch | None:
    """None for a body without wants. Raises Invalid."""
    lines = _Lines()
    capabilities: list[bytes] = []
    flushes = after = 0
    for one in packets(body):
        if isinstance(one, Marker):
            flushes += 1
            after += flushes > 1
            continue
        after += flushes > 0
        if one.startswith(b"want ") and not lines.oids[b"want"]:
            one, _, rest = one.partition(b" ")[2].partition(b" ")
            capabilities = rest.split()
            one = b"want " + one
        lines.take(one)
    if not lines.oids[b"want"]:
        return None
    lines.flags.update(flag for flag in capabilities if flag in (b"thin-pack", b"deepen-relative"))
    return Fetch(lines.asked(), b"done" in lines.flags, frozenset(capabilities), negotiates=after > 0)


class _Lines:
    """Gathers the lines of a fetch."""

    def __init__(self) -> None:
        self.oids: dict[bytes, list[bytes]] = {b"want": [], b"have": [], b"shallow": []}
        self.numbers: dict[bytes, int] = {}
        self.flags: set[bytes] = set()

    def take(self, text: bytes) -> None:
        word, _, value = text.partition(b" ")
        if word in self.oids:
            self.oids[word].append(_oid(value))
        elif word in (b"deepen", b"deepen-since"):
            if not value.isdigit() or len(value) > 18:
                raise malformed()
            self.numbers[word] = int(value)
        elif word in UNSUPPORTED:
            raise Unsupported(f"{word.decode()}: {UNSUPPORTED[word]}")
        elif not value:
            # Whatever else a client may wish for (no-progress, ofs-delta, include-tag) changes nothing here.
            self.flags.add(word)

    def asked(self) -> FetchRequest:
        depth = self.numbers.get(b"deepen") or None
        return FetchRequest(
            wants=tuple(self.oids[b"want"]),
            haves=tuple(self.oids[b"have"]),
            shallows=tuple(self.oids[b"shallow"]),
            depth=min(depth, MAX_DEPTH) if depth else None,
            relative=b"deepen-relative" in self.flags,
            since=self.numbers.get(b"deepen-since"),
            thin=b"thin-pack" in self.flags,
        )


def _oid(value: bytes) -> bytes:
    try:
        oid = bytes.fromhex(value.decode("ascii"))
    except ValueError:
        raise malformed() from None
    if len(oid) != OID:
        raise malformed()
    return oid


class Answer(NamedTuple):
    """What comes before the pack, and whether it comes at all."""

    start: bytes
    with_pack: bool


def answer_v2(fetch: Fetch, places: Places, plan: Plan) -> Answer:
    """With one thing in common no more is to be found out: the history is one line."""
    parts: list[bytes] = []
    if not fetch.done and (fetch.asked.haves or fetch.wait_for_done):
        parts.append(line(b"acknowledgments"))
        parts += [line(b"ACK " + oid.hex().encode()) for oid in places.common] or [line(b"NAK")]
        if fetch.wait_for_done or not places.common:
            return Answer(b"".join((*parts, FLUSH)), with_pack=False)
        parts += [line(b"ready"), DELIM]
    if fetch.asked.deepens or fetch.asked.shallows or plan.shallow:
        parts += [line(b"shallow-info"), *_boundary(plan), DELIM]
    parts.append(line(b"packfile"))
    return Answer(b"".join(parts), with_pack=True)


def answer_v0(fetch: Fetch, places: Places, plan: Plan) -> Answer:
    """The boundary, then what is in common, in the words of the client's ``multi_ack_detailed`` or in fewer."""
    parts: list[bytes] = []
    if fetch.asked.deepens:
        parts += [*_boundary(plan), FLUSH]
    if not fetch.negotiates:
        return Answer(b"".join(parts), with_pack=False)
    common = [oid.hex().encode() for oid in places.common]
    detailed = b"multi_ack_detailed" in fetch.capabilities
    if detailed:
        parts += [line(b"ACK %b common" % oid) for oid in common]
    elif common:
        parts.append(line(b"ACK " + common[0]))
    last = line(b"ACK " + common[-1]) if common and detailed else b""
    if fetch.done:
        parts.append(last if common else line(b"NAK"))
        return Answer(b"".join(parts), with_pack=True)
    if last:
        parts.append(line(b"ACK %b ready" % common[-1]))
    if detailed or not common:
        parts.append(line(b"NAK"))
    if last and b"no-done" in fetch.capabilities:
        return Answer(b"".join((*parts, last)), with_pack=True)
    return Answer(b"".join(parts), with_pack=False)


def _boundary(plan: Plan) -> Iterator[bytes]:
    for word, oids in ((b"shallow ", plan.shallow), (b"unshallow ", plan.unshallow)):
        for oid in oids:
            yield packet(word + oid.hex().encode())


def band_of(fetch: Fetch, version: int) -> int | None:
    """How many bytes of a pack go into a packet; None when the client takes the pack as it is."""
    if version == 2 or b"side-band-64k" in fetch.capabilities:
        return MAX_DATA - 1
    return SMALL_DATA - 1 if b"side-band" in fetch.capabilities else None


async def body_of(start: bytes, pack: AsyncIterator[bytes], size: int | None) -> AsyncIterator[bytes]:
    """An answer with its pack, a part at a time."""
    yield start
    async for part in pack:
        if size is None:
            yield part
        else:
            yield b"".join(packet(PACK_BAND + part[at : at + size]) for at in range(0, len(part), size))
    if size is not None:
        yield FLUSH
