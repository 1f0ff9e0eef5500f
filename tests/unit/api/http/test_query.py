"""Query strings: the last value counts, an empty one is absent, a bad one is named."""

import pytest

from api.http.query import MAX_QUERY, MAX_TEXT, MIN_BIGINT, Query, parse_query
from domain.errors import Invalid


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=1&a=", {}),
        (b"a&&=x&b=", {"": "x"}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=x+y%20z%2B", {"a": "x y z+"}),
        (b"s%65arch=%C3%A9", {"search": "é"}),
        (b"a=%zz%4", {"a": "%zz%4"}),
        (b"a=%ff\xff", {"a": "��"}),
        (b"a=%25", {"a": "%"}),
    ],
)
def test_parsing(raw: bytes, values: dict[str, str]) -> None:
    assert parse_query(raw) == values


@pytest.mark.parametrize(("raw", "attr"), [(b"a=%00", "a"), (b"%00=a", None), (b"a=\0", "a")])
def test_null_characters_are_refused(raw: bytes, attr: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        parse_query(raw)

    assert (refused.value.code, refused.value.attr) == ("null_characters_not_allowed", attr)


def test_integers() -> None:
    query = Query(b"version=3&limit=5000&offset=0&huge=" + b"9" * 400)

    assert query.integer("version", minimum=1) == 3
    assert query.integer("limit", minimum=1, maximum=1000, cut=True) == 1000
    assert query.integer("huge", minimum=1, maximum=1000, cut=True) == 1000
    assert query.integer("offset", minimum=0) == 0
    assert query.integer("absent") is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("x", "invalid_input"),
        ("1.0", "invalid_input"),
        ("1e3", "invalid_input"),
        ("%2B1", "invalid_input"),
        ("1%0A", "invalid_input"),
        ("%D9%A3", "invalid_input"),
        ("1_0", "invalid_input"),
        ("0", "min_value"),
        ("-5", "min_value"),
        ("-" + "9" * 400, "min_value"),
        ("101", "max_value"),
        ("9" * 5000, "max_value"),
    ],
)
def test_bad_integers_are_named(value: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        Query(f"limit={value}".encode()).integer("limit", minimum=1, maximum=100)

    assert (refused.value.code, refused.value.attr) == (code, "limit")


def test_texts_and_choices() -> None:
    query = Query(b"search=+pdf+&content=full&order_by=up&blank=+")

    assert query.text("search") == "pdf"
    assert query.text("blank") is None
    assert query.choice("content", ("full", "none")) == "full"
    assert query.choice("absent", ("full", "none")) is None
    with pytest.raises(Invalid) as refused:
        query.choice("order_by", ("name", "-name"))
    assert refused.value.attr == "order_by"
    with pytest.raises(Invalid) as refused:
        query.text("search", max_length=2)
    assert (refused.value.code, refused.value.attr) == ("max_length", "search")


def test_a_query_has_a_longest_length_and_so_has_each_text() -> None:
    with pytest.raises(Invalid) as refused:
        parse_query(b"a=1&" * (MAX_QUERY // 4) + b"b")
    assert refused.value.code == "max_length"
    with pytest.raises(Invalid) as refused:
        Query(b"search=" + b"x" * (MAX_TEXT + 1)).text("search")
    assert (refused.value.code, refused.value.attr) == ("max_length", "search")


@pytest.mark.parametrize("value", [-(2**63) - 1, -(10**40)])
def test_numbers_have_a_lower_end_too(value: int) -> None:
    query = Query(f"actor={value}".encode())
    assert query.integer("actor", cut=True) == MIN_BIGINT
    with pytest.raises(Invalid) as refused:
        query.integer("actor")
    assert (refused.value.code, refused.value.attr) == ("min_value", "actor")
