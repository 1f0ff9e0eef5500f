"""The rules of mirrors: given one, when a command comes, then these events or this refusal."""

from uuid import uuid4

import pytest

from domain.artifacts.mirrors import Mirror, MirrorBegun, MirrorEnded, stream_of
from domain.errors import NotFound, PermissionDenied

WRITER, OTHER = uuid4(), uuid4()
SOURCE = "Skald at https://skald.example.com, project 1"


def given(source: str | None = None) -> Mirror:
    mirror = Mirror.of_project(1)
    if source is not None:
        mirror.begin(source, WRITER)
    mirror.pending = ()
    return mirror


def test_a_project_has_a_stream_of_its_own() -> None:
    assert stream_of(1) == stream_of(1) != stream_of(2)
    assert Mirror.of_project(1).id == stream_of(1)


def test_it_begins_once_and_ends() -> None:
    mirror = given()
    assert mirror.begin(SOURCE, WRITER) is False
    assert mirror.begin(SOURCE, WRITER) is True
    mirror.end()
    begun, ended = mirror.pending
    assert isinstance(begun, MirrorBegun)
    assert isinstance(ended, MirrorEnded)
    assert (begun.source, begun.writer_id, ended.originator_version) == (SOURCE, WRITER, 2)
    with pytest.raises(NotFound):
        mirror.end()


def test_one_key_alone_writes_to_it_until_another_takes_over_or_it_ends() -> None:
    mirror = given(SOURCE)
    mirror.check_writer(WRITER)
    with pytest.raises(PermissionDenied, match="skald mirror end") as refused:
        mirror.check_writer(OTHER)
    assert refused.value.code == "mirror"
    mirror.begin(SOURCE, OTHER)
    mirror.check_writer(OTHER)
    with pytest.raises(PermissionDenied):
        mirror.check_writer(WRITER)
    mirror.end()
    mirror.check_writer(WRITER)


def test_events_out_of_order_are_no_mirror() -> None:
    mirror = given(SOURCE)
    with pytest.raises(ValueError, match="does not follow"):
        mirror.evolve(MirrorEnded(originator_id=mirror.id, originator_version=1))
