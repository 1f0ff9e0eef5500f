"""Bodies: the first error in field order, by the contract's codes."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from api.http.errors import ParseError, UnsupportedMediaType
from api.payload.decode import decode
from domain.errors import Invalid, TooBig


def no_spaces(value: str) -> str:
    if " " in value:
        raise Invalid("No blanks, please.", code="invalid_path")
    return value.lower()


def unique_paths(files: list["File"]) -> list["File"]:
    paths = [file.path for file in files]
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise Invalid("Twice.", attr=f"{index}__path")
    return files


class File(msgspec.Struct):
    path: Annotated[str, Meta(max_length=5, extra={"rule": no_spaces})]
    content: Annotated[str, Meta(extra={"blank": True, "max_bytes": 8})]


class Document(msgspec.Struct, kw_only=True):
    name: Annotated[str, Meta(max_length=4, extra={"trim": True})]
    body: Annotated[str, Meta(extra={"max_bytes": 8})] | UnsetType = UNSET
    old: Annotated[str, Meta(min_length=1, extra={"blank": True})] | UnsetType = UNSET
    tools: list[Annotated[str, Meta(extra={"trim": True})]] = []
    metadata: dict[str, Any] = {}
    files: (
        Annotated[list[File], Meta(min_length=1, max_length=2, extra={"rule": unique_paths})] | UnsetType
    ) = UNSET
    base_version: Annotated[int, Meta(ge=1, le=99)] | UnsetType = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    value: Any | UnsetType = UNSET
    flag: bool = False


def read(raw: str | bytes, content_type: str | None = "application/json") -> Document:
    return decode(Document, raw.encode() if isinstance(raw, str) else raw, content_type)


def test_what_is_sent_is_kept_and_what_is_absent_has_its_default() -> None:
    document = read('{"name":" ab ","body":" x\\r\\n","metadata":{"a":[1.0,null]},"unknown":1,"config":null}')

    assert document == Document(name="ab", body=" x\r\n", metadata={"a": [1.0, None]}, config=None)
    assert document.files is UNSET


def test_nested_structs_and_rules_normalise() -> None:
    document = read('{"name":"a","files":[{"path":"A.md","content":""}]}')

    assert document.files == [File("a.md", "")]


@pytest.mark.parametrize(
    ("raw", "code", "attr"),
    [
        ("{}", "required", "name"),
        ('{"name":null}', "null", "name"),
        ('{"name":""}', "blank", "name"),
        ('{"name":"  "}', "blank", "name"),
        ('{"name":"abcde"}', "max_length", "name"),
        ('{"name":5}', "invalid_input", "name"),
        ('{"name":"a","body":" \\n"}', "blank", "body"),
        ('{"name":"a","body":null}', "null", "body"),
        ('{"name":"a","body":"ééééé"}', "max_size", "body"),
        ('{"name":"a","old":""}', "blank", "old"),
        ('{"name":"a","tools":"x"}', "invalid_input", "tools"),
        ('{"name":"a","tools":["x",1]}', "invalid_input", "tools__1"),
        ('{"name":"a","metadata":[]}', "invalid_input", "metadata"),
        ('{"name":"a","metadata":null}', "null", "metadata"),
        ('{"name":"a","files":[]}', "invalid_input", "files"),
        ('{"name":"a","files":[1,2,3]}', "max_length", "files"),
        ('{"name":"a","files":[1]}', "invalid_input", "files__0"),
        ('{"name":"a","files":[{"path":"a","content":""},{"content":""}]}', "required", "files__1__path"),
        ('{"name":"a","files":[{"path":"a b","content":""}]}', "invalid_path", "files__0__path"),
        (
            '{"name":"a","files":[{"path":"a","content":""},{"path":"A","content":""}]}',
            "invalid_input",
            "files__1__path",
        ),
        ('{"name":"a","files":[{"path":"a","content":"123456789"}]}', "max_size", "files__0__content"),
        ('{"name":"a","base_version":0}', "min_value", "base_version"),
        ('{"name":"a","base_version":100}', "max_value", "base_version"),
        ('{"name":"a","base_version":1.0}', "invalid_input", "base_version"),
        ('{"name":"a","base_version":true}', "invalid_input", "base_version"),
        ('{"name":"a","base_version":"1"}', "invalid_input", "base_version"),
        ('{"name":"a","base_version":99999999999999999999999}', "max_value", "base_version"),
        ('{"name":"a","config":1}', "invalid_input", "config"),
        ('{"name":"a","value":null}', "null", "value"),
        ('{"name":"a","flag":1}', "invalid_input", "flag"),
        # The order of the fields, not of the text, decides.
        ('{"flag":1,"body":1,"name":"a"}', "invalid_input", "body"),
        ('{"name":"a\\u0000"}', "null_characters_not_allowed", "name"),
        ('{"name":"a","tools":["x","\\u0000"]}', "null_characters_not_allowed", "tools__1"),
        ('{"name":"a","metadata":{"a":[{"b\\u0000":1}]}}', "null_characters_not_allowed", "metadata"),
        ('{"name":"a","metadata":{"a":[{"b":"\\u0000"}]}}', "null_characters_not_allowed", "metadata"),
        ('{"name":"a","value":["\\u0000"]}', "null_characters_not_allowed", "value"),
        ('{"name":"a","value":1e400}', "number_out_of_range", "value"),
        ('{"name":"a","metadata":{"a":[-1e400]}}', "number_out_of_range", "metadata"),
        ('{"name":1e400}', "invalid_input", "name"),
        ('{"name":"\\ud800"}', "surrogate_characters_not_allowed", "name"),
        ('{"name":"a","metadata":{"\\udfff":1}}', "surrogate_characters_not_allowed", "metadata"),
        ('{"name":"a","metadata":{"a":["x\\ud83dy"]}}', "surrogate_characters_not_allowed", "metadata"),
        (
            '{"name":"a","files":[{"path":"a","content":"\\udc00"}]}',
            "surrogate_characters_not_allowed",
            "files__0__content",
        ),
    ],
)
def test_the_first_bad_field_is_named(raw: str, code: str, attr: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(raw)

    assert (refused.value.code, refused.value.attr) == (code, attr)
    assert refused.value.detail


def test_too_many_bytes_is_its_own_refusal() -> None:
    with pytest.raises(TooBig):
        read('{"name":"a","body":"123456789"}')


def test_a_pair_of_surrogates_and_an_escaped_backslash_are_plain_text() -> None:
    assert read('{"name":"\\ud83d\\ude00"}').name == "😀"
    assert read('{"name":"a","body":"\\\\u0000"}').body == "\\u0000"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"1",
        b" ",
        b'{"name":NaN}',
        b'{"name":"a","value":"\\ud800","config":NaN}',
        b'{"name":"\xff"}',
        b'{"name":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"name":"a"}',
        b'{"name":"a"}x',
        b'{"name":"a","metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        b'{"name":"a","value":' + b"[" * 100_000,
        b'{"name":"\\ud800","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_a_parse_error(raw: bytes) -> None:
    with pytest.raises(ParseError) as refused:
        read(raw)

    assert refused.value.code == "parse_error"


def test_deep_values_with_a_null_character_are_looked_through() -> None:
    raw = '{"name":"a","value":' + "[" * 500 + '"\\u0000"' + "]" * 500 + "}"

    with pytest.raises(Invalid) as refused:
        read(raw)

    assert refused.value.code == "null_characters_not_allowed"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
def test_json_types_are_taken(content_type: str) -> None:
    assert read('{"name":"a"}', content_type).name == "a"


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_other_types_are_not(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        read('{"name":"a"}', content_type)


@pytest.mark.parametrize("content_type", [None, "application/json", "application/x-www-form-urlencoded"])
def test_an_empty_body_counts_as_an_empty_object(content_type: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        read(b"", content_type)

    assert (refused.value.code, refused.value.attr) == ("required", "name")


def test_a_struct_with_an_unknown_rule_is_a_mistake_of_ours() -> None:
    class Wrong(msgspec.Struct):
        name: Annotated[str, Meta(extra={"trimm": True})]

    with pytest.raises(TypeError, match="trimm"):
        decode(Wrong, b"{}", "application/json")
