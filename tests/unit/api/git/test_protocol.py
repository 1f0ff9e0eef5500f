"""Requests of git as they are read, and answers as they are written."""

import pytest

from api.git import protocol as wire
from api.git.controller import bearer_of
from domain.errors import Invalid
from projections.git.packs import Places, Plan

A, B, C = (bytes([number]) * 20 for number in (10, 11, 12))
HEX = {oid: oid.hex().encode() for oid in (A, B, C)}
NO_PLAN = Plan([], frozenset(), [], [])


def request(*lines: bytes | None) -> bytes:
    """Lines as packets; None is a flush."""
    return b"".join(wire.FLUSH if line is None else wire.line(line) for line in lines)


def shown(answer: wire.Answer) -> list[bytes]:
    return [one if isinstance(one, bytes) else b"-" for one in wire.packets(answer.start)]


@pytest.mark.parametrize(
    ("header", "version"),
    [(None, 0), (b"", 0), (b"version=2", 2), (b"version=1", 1), (b"version=3", 0), (b"x=1:version=2", 2),
     (b"version=1:version=2", 2), (b"version", 0)],
)  # fmt: skip
def test_the_version_is_the_highest_that_both_know(header: bytes | None, version: int) -> None:
    assert wire.version_of(header) == version


@pytest.mark.parametrize("body", [b"0", b"zzzz", b"0009abc", b"ffff", b"0008want0000"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        wire.fetch_v0(body + b"0009wantx")


@pytest.mark.parametrize(
    "argument",
    [b"want x", b"want " + b"a" * 39, b"have \xff", b"deepen x", b"deepen -1", b"deepen-since 1.5"],
)
def test_a_malformed_line_is_refused(argument: bytes) -> None:
    with pytest.raises(Invalid):
        wire.fetch_v2([argument])


def test_a_command_has_its_arguments_behind_the_delimiter() -> None:
    body = wire.line(b"command=fetch") + wire.line(b"agent=x") + wire.DELIM + wire.line(b"done") + wire.FLUSH
    assert wire.command_of(body) == wire.Command(b"fetch", (b"agent=x",), (b"done",))
    assert wire.command_of(wire.FLUSH) == wire.Command(b"", (), ())
    with pytest.raises(Invalid):
        wire.command_of(wire.line(b"agent=x") + wire.FLUSH)


def test_a_fetch_of_version_2() -> None:
    arguments = [b"thin-pack", b"no-progress", b"want " + HEX[A], b"have " + HEX[B], b"shallow " + HEX[C],
                 b"deepen 3", b"deepen-relative", b"done"]  # fmt: skip
    fetch = wire.fetch_v2(arguments)
    asked = fetch.asked
    assert (asked.wants, asked.haves, asked.shallows) == ((A,), (B,), (C,))
    assert (asked.depth, asked.relative, asked.thin, fetch.done) == (3, True, True, True)


def test_a_fetch_of_version_0() -> None:
    first = b"want %b multi_ack_detailed side-band-64k thin-pack agent=x" % HEX[A]
    fetch = wire.fetch_v0(request(first, b"want " + HEX[B], b"deepen 1", None))
    assert fetch is not None
    assert (fetch.asked.wants, fetch.asked.depth, fetch.negotiates) == ((A, B), 1, False)
    more = wire.fetch_v0(request(first, None, b"have " + HEX[C], None))
    assert more is not None
    assert (more.asked.haves, more.negotiates, more.done) == ((C,), True, False)
    assert more.asked.thin
    assert wire.fetch_v0(wire.FLUSH) is None
    assert wire.band_of(fetch, 0) == 65515


def test_nothing_in_common_goes_on_asking() -> None:
    fetch = wire.fetch_v2([b"want " + HEX[A], b"have " + HEX[B]])
    answer = wire.answer_v2(fetch, Places((1,), {}, {}), NO_PLAN)
    assert (shown(answer), answer.with_pack) == ([b"acknowledgments", b"NAK", b"-"], False)


def test_one_thing_in_common_is_enough() -> None:
    fetch = wire.fetch_v2([b"want " + HEX[A], b"have " + HEX[B]])
    answer = wire.answer_v2(fetch, Places((1,), {B: 0}, {}), NO_PLAN)
    assert shown(answer) == [b"acknowledgments", b"ACK " + HEX[B], b"ready", b"-", b"packfile"]
    assert answer.with_pack
    patient = wire.fetch_v2([b"want " + HEX[A], b"have " + HEX[B], b"wait-for-done"])
    assert not wire.answer_v2(patient, Places((1,), {B: 0}, {}), NO_PLAN).with_pack


@pytest.mark.parametrize(
    ("capabilities", "done", "common", "said", "with_pack"),
    [
        (
            b"multi_ack_detailed no-done",
            False,
            True,
            [b"ACK b common", b"ACK b ready", b"NAK", b"ACK b"],
            True,
        ),
        (b"multi_ack_detailed", False, True, [b"ACK b common", b"ACK b ready", b"NAK"], False),
        (b"multi_ack_detailed", True, True, [b"ACK b common", b"ACK b"], True),
        (b"multi_ack_detailed", True, False, [b"NAK"], True),
        (b"multi_ack_detailed", False, False, [b"NAK"], False),
        (b"ofs-delta", False, True, [b"ACK b"], False),
        (b"ofs-delta", True, True, [b"ACK b"], True),
        (b"ofs-delta", True, False, [b"NAK"], True),
    ],
)
def test_what_old_clients_hear(
    capabilities: bytes, done: bool, common: bool, said: list[bytes], with_pack: bool
) -> None:
    lines = [b"want %b %b" % (HEX[A], capabilities), None, b"have " + HEX[B], b"done" if done else None]
    fetch = wire.fetch_v0(request(*lines))
    assert fetch is not None
    answer = wire.answer_v0(fetch, Places((1,), {B: 0} if common else {}, {}), NO_PLAN)
    assert shown(answer) == [one.replace(b" b", b" " + HEX[B]) for one in said]
    assert answer.with_pack == with_pack


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (None, None),
        (b"Bearer sk_x", b"Bearer sk_x"),
        (b"Basic dXNlcjpza194", b"Bearer sk_x"),
        (b"basic  OnNrX3g=", b"Bearer sk_x"),
        (b"Basic c2tfeDo=", b"Bearer sk_x"),
        (b"Basic dXNlcjphOmI=", b"Bearer a:b"),
        (b"Basic ???", None),
    ],
)  # fmt: skip
def test_the_key_is_the_password_of_any_user(given: bytes | None, taken: bytes | None) -> None:
    assert bearer_of(given) == taken
