"""The OpenAPI 3.1 document, made from the routes themselves: their answers, errors, ``opt`` (``api.openapi.parameters``) and Structs.

It shows the ``environments`` prefix only; ``projects`` is the same and would double every operation.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.response import ServerSentEvent, Stream
from litestar.routes import HTTPRoute

from api.http.errors import ErrorBody
from api.openapi import parameters as docs
from api.openapi.examples import examples_of
from api.server.metrics import CONTENT_TYPE
from domain.artifacts.kinds import KINDS

VERSION = "1.0.0"
UNDOCUMENTED = "/api/projects/"
REF = "#/components/schemas/{name}"
JSON = "application/json"
MULTIPART = "multipart/form-data"
EVENT_STREAM = "text/event-stream"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

DESCRIPTION = """\
Versioned skills and prompts for language-model agents.

**Addresses.** Every address below `/api/environments/{project_id}/` works the same below `/api/projects/{project_id}/`. \
A trailing slash is optional everywhere and never redirects. `{project_id}` is a number or `@current`: the project of \
the key; when the key may enter several, the one that `?token=<project token>` names, else its owner's current one. \
Every GET answers to HEAD, too.

**Keys.** Send `Authorization: Bearer <key>`. A key holds scopes (`llm_skill:read`, `llm_skill:write`, \
`llm_prompt:read`, `llm_prompt:write`, `event:read`, `webhook:read`, `webhook:write`; write includes read; `*` is all \
of them) and the projects that it may enter.

**Bodies.** JSON objects, as `application/json` (the import of archives takes a form); an empty body counts as `{}`. \
Unknown fields and query parameters are ignored, a query parameter without a value counts as absent, JSON types are \
not coerced (1.0 is no integer). Content is kept byte for byte; one-line fields such as names and descriptions are \
trimmed. No text may hold a NUL or a lone surrogate.

**Limits.** A body and a file have at most 1,000,000 bytes of UTF-8, a skill at most 200 files and 200 allowed tools, \
metadata and a configuration 1000 keys and 100,000 bytes of compact JSON, a skill or prompt 100 labels, a list of edits 1000 \
(`max_length`); all edits of a request may look through 100,000,000 characters, each its whole text (`too_much_work`). A \
request has at most 32 MiB (413 above it; configurable) and 1,000,000 JSON values, a query 16 KiB.

**Rate limits.** Per key, by default 480 requests a minute and 4800 an hour, configurable. 429 comes with \
`Retry-After` and `RateLimit-*` headers.

**Versions.** A version never changes. A change says where it starts from by `base_version` (409 when it is not the \
latest) or by `If-Match` (412). Every answer to a GET has a strong `ETag`; `If-None-Match` gives 304.

**Repeating.** `Idempotency-Key` on a POST or PATCH makes it safe to send again. Every change answers with \
`X-Event-Position`, the position of its last event in the log.

**Errors** have one shape: `type`, `code`, `detail` (what is wrong, and what would be right) and `attr` (the field to \
blame, nested with `__` as in `files__1__path`, or null).\
"""

TAGS = {
    **{tag: text for kind in KINDS.values() for tag, text in kind.TAGS.items()},
    "events": "What happened, in the order of the log.",
    "shares": "Secret addresses at which installers read the skills of a project without a key.",
    "sdk": "Skills for the SDKs of Anthropic and OpenAI, which have the address of the project as their base: each in its own shapes, "
    "errors included. `x-api-key` may stand in place of `Authorization`.",
    "discovery": "What installers such as `npx skills` read: at the address of a share, or at the origin for the project "
    "that the operator has made public (404 while there is none). No key is needed.",
    "clawhub": "What the command line of ClawHub asks for, with `--registry` the address of this service: the skills of the project "
    "of its key. Version N is `1.0.N`.",
    "webhooks": "Events sent by HTTP: signed, at least once, in the order of each name.",
    "search": "What is in names, descriptions, bodies and files.",
    "history": "What a name went through: events, differences, authors of lines; and the way back.",
    "governance": "Protected labels, and the promotions that move them.",
    "usage": "Which versions are read, by whom and how often.",
    "identity": "Who the key belongs to and where it may go.",
    "operations": "Probes and numbers for operators; no key is needed.",
}

PATH_PARAMETERS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "project_id": (
        "The number of a project, or `@current`.",
        {"type": "string", "pattern": "^([0-9]{1,18}|@current)$"},
        "@current",
    ),
    **{f"{kind.KIND}_name": (kind.NAMES, {"type": "string"}, kind.EXAMPLE) for kind in KINDS.values()},
    "label_name": ("Lower-case letters, digits, `.`, `_` and `-`.", {"type": "string"}, "production"),
    "version_number": ("The number of a version.", {"type": "integer", "minimum": 1}, 2),
    "share_token": (
        "The secret of a share.",
        {"type": "string", "pattern": "^sks_[A-Za-z0-9_-]{43}$"},
        "sks_q5vWmPz1cYt0Rk3aXbN8uJd7LhGfEoSi2TnMvKyQx4w",
    ),
    "skill_archive": (
        "The name of an active skill, and `.zip`.",
        {"type": "string", "pattern": r"^[a-z0-9]+(-[a-z0-9]+)*\.zip$"},
        "pdf-forms.zip",
    ),
    "release": (
        "A version, `1.0.` and its number.",
        {"type": "string", "pattern": r"^1\.0\.[1-9][0-9]*$"},
        "1.0.1",
    ),
    "skill_slug": ("The name of a skill.", {"type": "string"}, "pdf-forms"),
    "organization_id": ("The id of the organization, or `@current`.", {"type": "string"}, "@current"),
    "user_uuid": ("The UUID of the user whom the key belongs to, or `@me`.", {"type": "string"}, "@me"),
    "skill_id": (
        "The id of an active skill, as the list has it.",
        {"type": "string", "pattern": "^skill_[0-9a-f]{32}$"},
        "skill_01890a5dac96774bbcceb302099a8057",
    ),
    "skill_version": ("The number or the id of a version, or `latest`.", {"type": "string"}, "1"),
    "share_id": (
        "The id of a share.",
        {"type": "string", "format": "uuid"},
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ),
    "webhook_id": (
        "The id of a webhook.",
        {"type": "string", "format": "uuid"},
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ),
    "promotion_id": (
        "The id of a promotion.",
        {"type": "string", "format": "uuid"},
        "0195c2e0-5a11-7c02-8f3e-2b7d9e0c4d17",
    ),
    "delivery_id": ("The id of a delivery.", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "42"),
    "type_name": ("The name of an event type.", {"type": "string"}, "skald.skill.published.v1"),
    "file_path": (
        "The path of a file: the rest of the address. Its slashes may be sent raw or as `%2F`.",
        {"type": "string", "minLength": 1},
        "scripts/fill.py",
    ),
}

# By the schema of the error.
ERROR_EXAMPLES = examples_of("api.openapi")

# What each error may carry beside the four keys of all: status to kind and extra keys.
_NAMES = {"type": "array", "items": {"type": "string"}, "maxItems": 3}
_NUMBERS = {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 20}
_POSITIVE = {"type": "integer", "minimum": 1}
ERRORS: dict[int, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    400: (
        "BadRequest",
        ("validation_error", "invalid_request"),
        {
            "edit_index": {
                "type": "integer",
                "minimum": 0,
                "description": "Which edit failed, when one did; the last when the result is too big.",
            },
            "file_path": {"type": "string", "description": "The file that an edit was meant for."},
            "problems": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": True},
                "description": "Everything that is wrong with an import, with code `invalid_skill`.",
            },
        },
    ),
    401: ("NotAuthenticated", ("authentication_error",), {}),
    403: ("PermissionDenied", ("authentication_error",), {}),
    404: (
        "NotFound",
        ("invalid_request",),
        {
            "suggestions": {**_NAMES, "description": "Close names, when the name or the file is unknown."},
            "available_versions": {
                **_NUMBERS,
                "description": "The newest versions, with code `version_not_found`.",
            },
        },
    ),
    409: (
        "Conflict",
        ("validation_error",),
        {
            "current_version": {
                **_POSITIVE,
                "description": "The latest version, with code `version_conflict`.",
            },
            "referenced_by": {
                "type": "array",
                "maxItems": 20,
                "items": {
                    "type": "object",
                    "required": ["name", "version", "label"],
                    "properties": {
                        "name": {"type": "string"},
                        "version": _POSITIVE,
                        "label": {"type": ["string", "null"]},
                    },
                },
                "description": "Latest or labelled versions of prompts that refer to it, with code `referenced`.",
            },
        },
    ),
    410: (
        "Gone",
        ("invalid_request",),
        {
            "version": {**_POSITIVE, "description": "The version that the label points to."},
            "yanked": {
                "type": "object",
                "additionalProperties": True,
                "description": "Why, by whom and when it was yanked.",
            },
        },
    ),
    412: ("PreconditionFailed", ("validation_error",), {}),
    413: ("RequestTooLarge", ("invalid_request",), {}),
    415: ("UnsupportedMediaType", ("invalid_request",), {}),
    422: ("IdempotencyKeyReused", ("validation_error",), {}),
    429: ("Throttled", ("throttled_error",), {}),
    503: ("Unavailable", ("server_error",), {}),
}


# One example an error: code, detail, attr, extra keys.
class Operation(msgspec.Struct, frozen=True):
    """One method of one address."""

    path: str
    method: str
    handler: HTTPRouteHandler
    operation_id: str
    answer: Any
    errors: dict[int, ResponseSpec]

    @property
    def opt(self) -> dict[str, Any]:
        return self.handler.opt

    @property
    def secured(self) -> bool:
        return 401 in self.errors

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def conditional(self) -> bool:
        """Whether its answer has an entity tag that ``If-None-Match`` may name."""
        tagged = self.secured or self.opt.get("conditional", False)
        return tagged and not self.writes and self.answer is not Stream


def document(app: Litestar) -> dict[str, Any]:
    """The whole document. Raises ValueError when two operations share an id, or a parameter has no description."""
    operations = sorted(operations_of(app), key=lambda one: (one.path, METHODS.index(one.method)))
    ids = [one.operation_id for one in operations]
    if len(set(ids)) != len(ids):
        raise ValueError(f"operation ids are not unique: {ids}")
    schemas = Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    used = {tag for one in operations for tag in one.handler.resolve_tags()}
    if unknown := used - TAGS.keys():
        raise ValueError(f"tags without a description: {unknown}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Skald",
            "version": VERSION,
            "summary": "Versioned skills and prompts for language-model agents.",
            "description": DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "sk_…",
                    "description": "An API key. The scope that an operation needs is named with it.",
                }
            },
        },
    }


def operations_of(app: Litestar) -> Iterator[Operation]:
    """Every documented method of every documented address."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format.startswith(UNDOCUMENTED):
            continue
        for handler in route.route_handlers:
            if handler.resolve_include_in_schema():
                for method in sorted(map(str, handler.http_methods)):
                    yield _read(route, handler, method)


def _read(route: HTTPRoute, handler: HTTPRouteHandler, method: str) -> Operation:
    operation_id = handler.operation_id
    if callable(operation_id):
        operation_id = operation_id(handler, method, route.path_components)  # type: ignore[arg-type]
    if not operation_id:
        raise ValueError(f"{method} {route.path_format} has no operation id")
    answer = _answer_type(handler)
    return Operation(route.path_format, method, handler, operation_id, answer, dict(handler.responses or {}))


def _answer_type(handler: HTTPRouteHandler) -> Any:
    """What is in ``Response[…]``; a stream stands for itself. Raises ValueError for anything else."""
    annotation = handler.parsed_return_field.annotation
    if annotation is Stream or annotation is ServerSentEvent:
        return Stream
    if len(found := get_args(annotation)) != 1:
        raise ValueError(f"{handler} does not say what it answers: annotate it by Response[…]")
    return found[0]


def _operation(operation: Operation, schemas: "Schemas") -> dict[str, Any]:
    handler = operation.handler
    text = (handler.description or handler.fn.__doc__ or "").strip()
    description = re.sub(r"\n[ \t]+", "\n", text)
    shown: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": handler.summary or description.partition("\n")[0].rstrip("."),
        "description": description,
        "tags": handler.resolve_tags(),
    }
    scope = operation.opt.get("scope")
    scopes = (scope,) if isinstance(scope, str) else scope or ()
    if scopes:
        shown["description"] += f"\n\nRequired scope: {' or '.join(f'`{one}`' for one in scopes)}."
    # Each of the list is enough by itself.
    alternatives = [{"key": [one]} for one in scopes] or [{"key": []}]
    shown["security"] = alternatives if operation.secured else []
    if parameters := list(_parameters(operation)):
        shown["parameters"] = parameters
    if body := operation.opt.get("body"):
        shown["requestBody"] = {
            "required": _is_needed(schemas.component(body)),
            "content": {JSON: _content(body, schemas)},
        }
    if form := operation.opt.get("form"):
        shown["requestBody"] = {"required": True, "content": {MULTIPART: _content(form, schemas)}}
    shown["responses"] = {
        str(status): answer for status, answer in sorted(_responses(operation, schemas).items())
    }
    return shown


def _is_needed(body: dict[str, Any]) -> bool:
    """Whether no body, which counts as ``{}``, would be refused for what it lacks."""
    return bool(body.get("required")) or "anyOf" in body.get("else", ())


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        if name not in PATH_PARAMETERS:
            raise ValueError(f"the path parameter {name} has no description")
        description, schema, example = PATH_PARAMETERS[name]
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": schema,
            "example": example,
        }
    for param in operation.opt.get("query", ()):
        yield param.documented()
    if operation.conditional:
        yield docs.IF_NONE_MATCH.documented()
    if not operation.secured:
        return
    if 412 in operation.errors:
        yield docs.IF_MATCH.documented()
    if 422 in operation.errors:
        yield docs.IDEMPOTENCY_KEY.documented()


def _responses(operation: Operation, schemas: "Schemas") -> dict[int, dict[str, Any]]:
    status = operation.handler.status_code
    answers = {status: _success(operation, schemas)}
    if operation.conditional:
        headers = {**docs.ETAG, **docs.CACHE, **docs.REQUEST_ID, **_yanked(operation)}
        answers[304] = {"description": "The client has this representation already.", "headers": headers}
    if (
        operation.method == "GET"
        and re.search(r"/name/{\w+_name}/?$", operation.path)
        and _by_name(operation)
    ):
        answers[302] = {
            "description": "The id of an active version stood in place of the name; here is the name.",
            "headers": {**docs.LOCATION, **docs.REQUEST_ID},
        }
    for status, spec in operation.errors.items():
        if status < 400:
            answers[status] = {**_success(operation, schemas), "description": spec.description}
        else:
            answers[status] = _error(status, spec, schemas)
    return answers


def _by_name(operation: Operation) -> bool:
    """Whether an id in place of the name is redirected: it is where one artifact is read, not where all are listed."""
    return "/resolve/" not in operation.path


def _yanked(operation: Operation) -> dict[str, Any]:
    return docs.YANKED if operation.opt.get("yanks") else {}


def _success(operation: Operation, schemas: "Schemas") -> dict[str, Any]:
    headers = dict(docs.REQUEST_ID)
    logged = operation.opt.get("logged", True)
    if operation.writes and logged is not False:
        # A dry run changes nothing.
        optional = logged is None or any(param.name == "dry_run" for param in operation.opt.get("query", ()))
        headers.update(docs.POSITION_IF_CHANGED if optional else docs.POSITION)
        if 422 in operation.errors:
            headers.update(docs.REPLAYED)
    headers.update(operation.opt.get("headers", {}))
    headers.update(_yanked(operation))
    produced = operation.opt.get("produces")
    media_type = {str: CONTENT_TYPE.decode(), Stream: EVENT_STREAM}.get(operation.answer)
    has_body = operation.answer is not type(None)
    if has_body and (produced or media_type is None):
        headers.update(docs.ETAG)
        headers.update(docs.CACHE)
    shown: dict[str, Any] = {"description": "Done; there is no body.", "headers": headers}
    if produced:
        shown["description"] = operation.handler.summary
        shown["content"] = {produced: {"schema": {"type": "string"}}}
        if operation.answer is bytes:
            shown["content"][produced]["schema"]["format"] = "binary"
        for other in operation.opt.get("media", ()):
            shown["content"][other] = {"schema": {"type": "string"}}
    elif media_type is not None:
        shown["description"] = "Text, line by line."
        shown["content"] = {media_type: {"schema": {"type": "string"}}}
    elif has_body:
        text = schemas.component(operation.answer).get("description", operation.handler.summary)
        shown["description"] = str(text).partition("\n")[0]
        shown["content"] = {JSON: _content(operation.answer, schemas)}
        for other in operation.opt.get("media", ()):
            shown["content"][other] = {"schema": {"type": "string"}}
    return shown


def _error(status: int, spec: ResponseSpec, schemas: "Schemas") -> dict[str, Any]:
    headers = dict(docs.REQUEST_ID)
    if status == 401:
        headers.update(docs.AUTHENTICATE)
    if status in (429, 503):
        headers.update(docs.RETRY_AFTER)
    if status == 429:
        headers.update(docs.BUDGET)
    if spec.data_container is not ErrorBody:
        content = _content(spec.data_container, schemas)
    else:
        name = ERRORS[status][0]
        examples = {title: {"value": value} for title, value in ERROR_EXAMPLES[name].items()}
        content = {"schema": {"$ref": REF.format(name=name)}, "examples": examples}
    return {"description": spec.description, "headers": headers, "content": {JSON: content}}


def _content(struct: Any, schemas: "Schemas") -> dict[str, Any]:
    shown: dict[str, Any] = {"schema": schemas.reference(struct)}
    if examples := getattr(struct, "EXAMPLES", None):
        shown["examples"] = {title: {"value": value} for title, value in examples.items()}
    return shown


class Schemas:
    """The component schemas of all bodies, answers and errors."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        structs: dict[type[Any], None] = {}
        for operation in operations:
            containers = [spec.data_container for spec in operation.errors.values()]
            for struct in (
                operation.opt.get("body"),
                operation.opt.get("form"),
                operation.answer,
                *containers,
            ):
                if (
                    isinstance(struct, type)
                    and issubclass(struct, msgspec.Struct)
                    and struct is not ErrorBody
                ):
                    structs[struct] = None
        references, components = msgspec.json.schema_components(list(structs), ref_template=REF)
        self._references = dict(zip(structs, references, strict=True))
        for component in components.values():
            _tidy(component)
            if component.get("required") == []:
                del component["required"]
            component.pop("title", None)
        for struct in structs:
            components[struct.__name__].update(getattr(struct, "HINTS", {}))
        for operation in operations:
            # Tools that make a sample of every field would make one of fields that exclude each other.
            if body := operation.opt.get("body"):
                components[body.__name__]["examples"] = list(body.EXAMPLES.values())
        self.components: dict[str, Any] = {**components, **_error_schemas()}

    def reference(self, kind: Any) -> dict[str, Any]:
        """A reference to a Struct, the schema itself of anything else."""
        if kind in self._references:
            return self._references[kind]
        schema = msgspec.json.schema(kind)
        _tidy(schema)
        return schema

    def component(self, kind: Any) -> dict[str, Any]:
        """The schema of a Struct; nothing for anything else."""
        found: dict[str, Any] = self.components[kind.__name__] if kind in self._references else {}
        return found


def _tidy(schema: Any) -> None:
    """Keywords that the document leaves out go, and objects of any keys say so, at any depth."""
    if isinstance(schema, dict):
        for keyword in schema.pop(docs.WITHOUT, ()):
            schema.pop(keyword, None)
        for inner in schema.values():
            _tidy(inner)
        if schema.get("type") == "object" and "properties" not in schema:
            schema.setdefault("additionalProperties", True)
    elif isinstance(schema, list):
        for inner in schema:
            _tidy(inner)


def _error_schemas() -> dict[str, Any]:
    found = {}
    for name, kinds, extra in ERRORS.values():
        found[name] = {
            "type": "object",
            "description": "An error.",
            "properties": {
                "type": {"type": "string", "enum": list(kinds)},
                "code": {"type": "string", "description": "What is wrong, for programs."},
                "detail": {
                    "type": "string",
                    "description": "What is wrong and what would be right, for people.",
                },
                "attr": {
                    "type": ["string", "null"],
                    "description": "The field to blame, nested with `__`; null where no one field is.",
                },
                **extra,
            },
            "required": ["type", "code", "detail", "attr"],
        }
    return found
