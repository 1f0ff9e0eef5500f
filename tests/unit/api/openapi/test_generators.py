"""What generators of clients and linters stumble over, looked for in the whole document; tests/clients/generators runs them."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.support.document import DOCUMENT

COMPONENTS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}
COMPOSITIONS = ("allOf", "anyOf", "oneOf", "not")
# What ECMAScript's unicode mode and Python's `re` both know.
ESCAPES = re.compile(r"\\(?:[dDwWsSbBfnrtv^$\\.*+?()\[\]{}|/-]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")


def schemas_in(value: Any, at: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the document that is no example, with its place."""
    if isinstance(value, dict):
        yield at, value
        for key, inner in value.items():
            if key not in ("example", "examples", "default", "const", "enum"):
                yield from schemas_in(inner, f"{at}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from schemas_in(inner, f"{at}/{index}")


SCHEMAS = dict(schemas_in(DOCUMENT))


def is_valid(schema: Any, value: Any) -> bool:
    validator = jsonschema_rs.validator_for({"allOf": [schema], "components": DOCUMENT["components"]})
    return validator.is_valid(value)


def test_every_pattern_is_one_of_javascript_and_of_python() -> None:
    patterns = {
        at: schema["pattern"] for at, schema in SCHEMAS.items() if isinstance(schema.get("pattern"), str)
    }
    assert len(patterns) > 100
    for at, pattern in patterns.items():
        re.compile(pattern)
        assert "\\" not in ESCAPES.sub("", pattern), at
        # Groups beside (?:…) and (?!…) are spelled differently, or unknown to the engine of one of them.
        assert not re.search(r"\(\?(?![:!])", re.sub(r"\[[^\]]*\]", "", pattern)), at
        # A generator writes it between quotes.
        if at.startswith("#/components"):
            assert not re.search("[\"'\n]", pattern), at


@pytest.mark.parametrize("pattern", [r"^[!\"$-\[]+$", r"^\A.$", "^(?P<name>a)$", r"^(?>a)$", r"\p{L}"])
def test_the_check_of_patterns_finds_what_one_of_them_lacks(pattern: str) -> None:
    foreign = "\\" in ESCAPES.sub("", pattern)
    assert foreign or re.search(r"\(\?(?![:!])", re.sub(r"\[[^\]]*\]", "", pattern))


def test_an_address_is_a_uri_and_its_pattern_only_tells_the_scheme() -> None:
    for name in ("CreateWebhook", "ChangeWebhook"):
        url = COMPONENTS[name]["properties"]["url"]
        assert url["format"] == "uri"
        assert is_valid(url, "http://203.0.113.7:8080/hook?a=[1]")
        assert not is_valid(url, "ftp://example.com/hook")


def test_nothing_that_has_a_type_or_properties_is_composed() -> None:
    """Generators make a choice of it, and drop the type or the properties: a name was `any`, a file lost its path."""
    assert [
        at
        for at, schema in SCHEMAS.items()
        if schema.keys() & {"type", "properties"} and schema.keys() & set(COMPOSITIONS)
        # Properties that are called so have a schema; conditions are for validators, generators pass them by.
        if not re.search(r"/(properties|if|then|else)$", at)
    ] == []
    assert {"path", "content", "encoding", "base_version"} <= COMPONENTS["AddFile"]["properties"].keys()


def test_a_choice_is_between_something_and_null() -> None:
    for at, schema in SCHEMAS.items():
        if re.search(r"/(properties|else)$", at):
            continue
        for keyword in ("allOf", "oneOf"):
            assert keyword not in schema, at
        if "anyOf" in schema:
            assert {"type": "null"} in schema["anyOf"], at
            assert len(schema["anyOf"]) == 2, at


def test_an_object_says_what_its_fields_are_or_that_it_may_have_any() -> None:
    objects = {at: schema for at, schema in SCHEMAS.items() if schema.get("type") == "object"}
    assert len(objects) > 80
    assert [
        at for at, one in objects.items() if not one.keys() & {"properties", "additionalProperties"}
    ] == []
    assert COMPONENTS["CreateSkill"]["properties"]["metadata"]["additionalProperties"] is True


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_parameter_is_declared_once(operation_id: str) -> None:
    operation = OPERATIONS[operation_id]
    names = [parameter["name"] for parameter in operation.get("parameters", ())]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        names += COMPONENTS[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
    # Functions call them without regard to case and punctuation.
    spelled = [re.sub(r"\W|_", "", name).lower() for name in names]
    assert sorted(set(spelled)) == sorted(spelled)


def test_an_import_takes_its_options_by_the_query() -> None:
    operation = OPERATIONS["llm_skills_import_create"]
    assert {"mode", "dry_run", "base_version"} <= {one["name"] for one in operation["parameters"]}
    assert list(COMPONENTS["ImportForm"]["properties"]) == ["file"]


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_examples_of_parameters_fit_and_do_not_exclude_each_other(operation_id: str) -> None:
    parameters = {one["name"]: one for one in OPERATIONS[operation_id].get("parameters", ())}
    shown = {name for name, one in parameters.items() if "example" in one}
    for name in shown:
        assert is_valid(parameters[name]["schema"], parameters[name]["example"]), name
        for other in re.findall(r"excludes `(\w+)`", parameters[name]["description"]):
            assert other in parameters
            assert other not in shown, (name, other)
    # One key is of one request.
    assert "Idempotency-Key" not in shown


def test_examples_of_schemas_fit() -> None:
    checked = 0
    for at, schema in SCHEMAS.items():
        if not isinstance(schema.get("examples"), list):
            continue
        for example in schema["examples"]:
            assert is_valid(schema, example), (at, example)
            checked += 1
    assert checked > 30


def test_a_body_whose_fields_exclude_each_other_shows_whole_examples() -> None:
    conditional = [name for name, schema in COMPONENTS.items() if "if" in schema and name != "FileBody"]
    assert {"PublishSkill", "PublishPrompt", "AddFile"} <= set(conditional)
    for name in conditional:
        assert COMPONENTS[name]["examples"], name


def test_no_address_ends_with_a_slash() -> None:
    """Linters take it for an error; the service answers with and without."""
    assert [path for path in DOCUMENT["paths"] if path.endswith("/")] == []


def test_names_are_identifiers_everywhere() -> None:
    assert [name for name in OPERATIONS if not re.fullmatch("[a-z][a-z0-9_]*", name)] == []
    assert [name for name in COMPONENTS if not re.fullmatch("[A-Z][A-Za-z0-9]*", name)] == []
    assert len({name.lower() for name in COMPONENTS}) == len(COMPONENTS)
