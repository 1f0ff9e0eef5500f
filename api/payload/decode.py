"""Request bodies: JSON into msgspec Structs, with the contract's codes, the first error in field order.

A field's rules stand in its annotation and are the same that the OpenAPI document shows:
``Annotated[str, Meta(max_length=64, extra={"trim": True, "rule": check_name})]``. Keys of ``Meta.extra``:

``trim``       white space around the text is cut off before anything else is checked (one-line fields)
``blank``      the text may consist of white space, and be empty unless ``min_length`` says otherwise
``max_bytes``  limit of the UTF-8 bytes of a text, code ``max_size``
``null``       a field of type ``Any`` takes null (inside of it null is always fine)
``rule``       a domain rule: takes the value, returns it (perhaps normalised) or raises Invalid; its ``attr`` is
               put within the path of the field

Nothing is coerced: a bool is no integer, nor is 1.0. Unknown fields are ignored.
"""

import re
from collections.abc import Callable
from typing import Any, Never, TypeVar

import msgspec
from msgspec import inspect

from api.http.errors import ParseError, UnsupportedMediaType
from api.offload import HEAVY, offload
from domain.errors import Invalid, Refused, TooBig
from domain.json_text import check_values, parse

T = TypeVar("T")

# Takes a value and what may be in it that is refused (see ``TEXTS``); returns the value to keep.
Check = Callable[[Any, int], Any]

# What a body may hold that fields refuse: texts with a NUL or a lone surrogate; numbers beyond a double.
TEXTS, NUMBERS = 1, 2
INFINITE = (float("inf"), float("-inf"))
# Bytes of a body of files that may be read twice (see ``_parse``): the second parser takes several times as long.
MAX_REREAD = 1_000_000
BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
SURROGATE = re.compile("[\ud800-\udfff]")

_checks: dict[type[Any], Check] = {}


async def read(
    struct_type: type[T], raw: bytes, content_type: str | bytes | None, *, any_number: bool = False
) -> T:
    """``decode``, outside of the event loop when the body is large. Raises Unavailable, too."""
    if len(raw) > HEAVY:
        return await offload(decode, struct_type, raw, content_type, any_number=any_number)
    return decode(struct_type, raw, content_type, any_number=any_number)


def decode(
    struct_type: type[T], raw: bytes, content_type: str | bytes | None, *, any_number: bool = False
) -> T:
    """The body as an instance of ``struct_type``.

    ``any_number``: numbers beyond a double are taken, and seen as infinite, because the caller keeps them as written.
    Raises UnsupportedMediaType, ParseError (no JSON object) or Invalid for the first bad field. An empty body is ``{}``,
    whatever its type says.
    """
    if not raw:
        return _check_of(struct_type)({}, 0)
    check_content_type(content_type)
    try:
        value, suspect = _parse(raw, any_number)
        if type(value) is not dict:
            raise ParseError("Send a JSON object.")
        return _check_of(struct_type)(value, suspect)
    except RecursionError:
        raise ParseError("The JSON is nested too deeply.") from None


def checked(struct_type: type[T], values: dict[str, Any]) -> T:
    """The same of fields that have come otherwise than as JSON, such as those of a form. Raises Invalid for the first bad one."""
    return _check_of(struct_type)(values, TEXTS)


class Nothing(msgspec.Struct):
    """The body of a request that takes no field."""


async def ignore(raw: bytes, content_type: str | bytes | None) -> None:
    """The body of a request that takes no field is a JSON object or empty, too. Raises what ``read`` raises."""
    await read(Nothing, raw, content_type)


def check_content_type(content_type: str | bytes | None) -> None:
    """Raise UnsupportedMediaType unless it is JSON; parameters such as a charset are ignored (JSON is UTF-8)."""
    if content_type == b"application/json":
        return
    if isinstance(content_type, bytes):
        content_type = content_type.decode("latin-1")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        sent = f"not {media_type}" if media_type else "and name that type in Content-Type"
        raise UnsupportedMediaType(f"Send the body as application/json, {sent}.")


def _parse(raw: bytes, any_number: bool) -> tuple[Any, int]:
    """The JSON value, and what it has to be looked through for."""
    try:
        check_values(raw)
    except ValueError as error:
        raise ParseError(f"The body is too large a JSON: {error}.") from None
    try:
        # In JSON text a NUL can only stand as this escape; where it is absent no text needs a look.
        return msgspec.json.decode(raw), TEXTS if b"\\u0000" in raw else 0
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if raw.startswith(BOMS):
            raise ParseError(
                "The body begins with a byte order mark; send JSON as UTF-8 without one."
            ) from None
        # msgspec takes lone surrogates and large numbers for broken JSON; the fields say whether they matter.
        broken = ParseError(f"The body is no valid JSON: {error}.")
        if len(raw) > MAX_REREAD and not any_number:
            raise broken from None
        try:
            value = parse(raw)
        except ValueError:
            raise broken from None
        return value, TEXTS if any_number else TEXTS | NUMBERS


def _first_bad(value: Any, suspect: int) -> str | float | None:
    """The first text or number in a value of any depth, key or value, that is refused."""
    rest = [value]
    while rest:
        item = rest.pop()
        if type(item) is str:
            if "\0" in item or SURROGATE.search(item):
                return item
        elif type(item) is float:
            if suspect & NUMBERS and item in INFINITE:
                return item
        elif type(item) is list:
            rest.extend(reversed(item))
        elif type(item) is dict:
            for key, inner in reversed(item.items()):
                rest.append(inner)
                rest.append(key)
    return None


def check_text(value: Any, suspect: int = TEXTS) -> None:
    """Raise Invalid when the value holds, at any depth, a text with a NUL or a lone surrogate, or a number beyond a double."""
    bad = _first_bad(value, suspect)
    if bad is None:
        return
    if type(bad) is not str:
        raise Invalid(
            "This holds a number that is larger than a double can hold.", code="number_out_of_range"
        )
    if "\0" in bad:
        raise Invalid("Null characters are not allowed.", code="null_characters_not_allowed")
    raise Invalid(
        "Lone surrogates are not allowed: they stand for no character.",
        code="surrogate_characters_not_allowed",
    )


def _check_of(struct_type: type[T]) -> Callable[[Any, int], T]:
    check = _checks.get(struct_type)
    if check is None:
        check = _checks[struct_type] = _compile(inspect.type_info(struct_type))
    return check


def _compile(info: inspect.Type) -> Check:
    """The check of one type. Raises TypeError for a type that no body uses, when the Struct is first met."""
    extra: dict[str, Any] = {}
    if isinstance(info, inspect.Metadata):
        extra, info = info.extra or {}, info.type
    unknown = extra.keys() - {"trim", "blank", "max_bytes", "null", "rule"}
    if unknown:
        raise TypeError(f"unknown keys in Meta.extra: {', '.join(sorted(unknown))}")
    match info:
        case inspect.StrType():
            check = _text(info, extra)
        case inspect.IntType():
            check = _integer(info)
        case inspect.ListType():
            check = _list(info)
        case inspect.DictType():
            check = _mapping(info)
        case inspect.AnyType():
            check = _anything(bool(extra.get("null")))
        case inspect.StructType():
            check = _struct(info)
        case inspect.UnionType():
            check = _optional(info)
        case inspect.BoolType():
            check = _exact((bool,), "true or false")
        case inspect.FloatType():
            check = _exact((float, int), "a number")
        case inspect.LiteralType():
            check = _literal(info)
        case _:
            raise TypeError(f"no request body has fields of type {info}")
    return _ruled(check, extra["rule"]) if "rule" in extra else check


def _wrong(value: Any, expected: str) -> Never:
    if value is None:
        raise Invalid("This may not be null.", code="null")
    raise Invalid(f"This must be {expected}.")


def _text(info: inspect.StrType, extra: dict[str, Any]) -> Check:
    trim, blank, max_bytes = bool(extra.get("trim")), bool(extra.get("blank")), extra.get("max_bytes")
    shortest, longest = info.min_length or 0, info.max_length
    pattern = re.compile(info.pattern) if info.pattern else None

    def check(value: Any, suspect: int) -> str:
        if type(value) is not str:
            _wrong(value, "a string")
        if suspect:
            check_text(value, suspect)
        text: str = value.strip() if trim else value
        if not blank and (not text or text.isspace()):
            raise Invalid("This may not be blank.", code="blank")
        if len(text) < shortest:
            if not text:
                raise Invalid("This may not be empty.", code="blank")
            raise Invalid(f"Use at least {shortest} characters.")
        if longest is not None and len(text) > longest:
            raise Invalid(f"Use at most {longest} characters; this has {len(text)}.", code="max_length")
        if max_bytes is not None and len(text) * 4 > max_bytes and (size := len(text.encode())) > max_bytes:
            raise TooBig(f"This may have at most {max_bytes:,} bytes in UTF-8; it has {size:,}.")
        if pattern is not None and not pattern.search(text):
            raise Invalid(f"This must match {pattern.pattern}.")
        return text

    return check


def _integer(info: inspect.IntType) -> Check:
    lowest, highest = info.ge, info.le

    def check(value: Any, suspect: int) -> int:
        if type(value) is not int:
            _wrong(value, "an integer")
        if lowest is not None and value < lowest:
            raise Invalid(f"This must be {lowest} or more.", code="min_value")
        if highest is not None and value > highest:
            raise Invalid(f"This must be {highest} or less.", code="max_value")
        return value

    return check


def _list(info: inspect.ListType) -> Check:
    item_check = _compile(info.item_type)
    fewest, most = info.min_length or 0, info.max_length

    def check(value: Any, suspect: int) -> list[Any]:
        if type(value) is not list:
            _wrong(value, "a list")
        if len(value) < fewest:
            raise Invalid(f"Send at least {fewest} {'entry' if fewest == 1 else 'entries'}.")
        if most is not None and len(value) > most:
            raise Invalid(f"Send at most {most} entries; this has {len(value)}.", code="max_length")
        kept = []
        for item in value:
            try:
                kept.append(item_check(item, suspect))
            except Refused as refused:
                refused.within(len(kept))
                raise
        return kept

    return check


def _mapping(info: inspect.DictType) -> Check:
    if not isinstance(info.key_type, inspect.StrType) or not isinstance(info.value_type, inspect.AnyType):
        raise TypeError("objects of a body are dict[str, Any] or Structs")
    return _exact((dict,), "an object")


def _anything(nullable: bool) -> Check:
    def check(value: Any, suspect: int) -> Any:
        if value is None and not nullable:
            _wrong(value, "a value")
        if suspect:
            check_text(value, suspect)
        return value

    return check


def _exact(types: tuple[type, ...], expected: str) -> Check:
    def check(value: Any, suspect: int) -> Any:
        if type(value) not in types:
            _wrong(value, expected)
        if suspect:
            check_text(value, suspect)
        return value

    return check


def _literal(info: inspect.LiteralType) -> Check:
    values = info.values

    def check(value: Any, suspect: int) -> Any:
        if not any(type(value) is type(known) and value == known for known in values):
            _wrong(value, "one of " + ", ".join(map(str, values)))
        return value

    return check


def _optional(info: inspect.UnionType) -> Check:
    """``X | None``; other unions would need a guess at what the client meant."""
    kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
    if len(kinds) != 1:
        raise TypeError("a field of a body is of one type, perhaps or null")
    inner = _compile(kinds[0])

    def check(value: Any, suspect: int) -> Any:
        return None if value is None else inner(value, suspect)

    return check


def _struct(info: inspect.StructType) -> Check:
    struct_type = info.cls
    fields = [(field.name, field.encode_name, field.required, _compile(field.type)) for field in info.fields]

    def check(value: Any, suspect: int) -> Any:
        if type(value) is not dict:
            _wrong(value, "an object")
        kept = {}
        for name, sent_name, required, field_check in fields:
            if sent_name not in value:
                if required:
                    raise Invalid("This field is required.", code="required", attr=sent_name)
                continue
            try:
                kept[name] = field_check(value[sent_name], suspect)
            except Refused as refused:
                refused.within(sent_name)
                raise
        return struct_type(**kept)

    return check


def _ruled(check: Check, rule: Callable[[Any], Any]) -> Check:
    def ruled(value: Any, suspect: int) -> Any:
        return rule(check(value, suspect))

    return ruled
