"""The contract as an OpenAPI 3.1 description, and a server that validates requests against it.

JSON Schema (the 2020-12 dialect, as in OpenAPI 3.1) validates path, query, headers, key and body. Anything that is not
described is refused, except what HTTP itself needs.
"""

import importlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Self, cast

from aiohttp import web
from attrs import define, field, frozen
from yarl import URL

from tests.support import QUEUE

# Imported by name because the package has no types. Only its messages are used.
_jsonschema: Any = importlib.import_module("jsonschema")

_LISTED: Final = 3  # queues
_ENVELOPE: Final[dict[str, Any]] = {
    "success": {"const": "1"},
    "error_code": {"const": "SUCCESS"},
}

DESCRIPTION: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "Alohub inbound queues", "version": "1"},
    "servers": [{"url": "/", "description": "gateway"}, {"url": "/api", "description": "backend"}],
    "security": [{"gateway": []}, {"backend": []}, {"gateway": [], "backend": []}],
    "paths": {
        "/v1/queues/inbound": {
            "get": {
                "operationId": "list",
                "parameters": [
                    {"$ref": "#/components/parameters/tenant"},
                    {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}},
                    {"name": "size", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 20}},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/list"}}}}
                },
            },
        },
        "/v1/queues/inbound/{id}": {
            "get": {
                "operationId": "get",
                "parameters": [
                    {"$ref": "#/components/parameters/tenant"},
                    {"$ref": "#/components/parameters/id"},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/queue"}}}}
                },
            },
            "put": {
                "operationId": "update",
                "parameters": [
                    {"$ref": "#/components/parameters/tenant"},
                    {"$ref": "#/components/parameters/id"},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/update"}}},
                },
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/done"}}}}
                },
            },
        },
    },
    "components": {
        "securitySchemes": {
            "gateway": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "backend": {"type": "apiKey", "in": "header", "name": "Authorization"},
        },
        "parameters": {
            "tenant": {"name": "X-Tenant-ID", "in": "header", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
            "id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}},
        },
        "schemas": {
            "update": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "moh_file_id": {"type": "string", "minLength": 1, "pattern": r"^[^/\\\x00-\x1f]+$"},
                    "max_wait_sec": {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"},
                    "strategy": {"type": "integer", "enum": [1, 2, 3, 4, 99]},
                    "announce_position": {"type": "string", "enum": ["0", "1"]},
                },
            },
            "queue": {
                "type": "object",
                "required": ["callinId", "callinName"],
                "properties": {
                    "callinId": {"type": "integer"},
                    "callinName": {"type": "string"},
                    "strategy": {"type": ["integer", "null"]},
                    "musicinQueue": {"type": ["string", "null"]},
                    "timeWait": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
                    "agentSelector": {"type": ["string", "null"]},
                    "nguongRanhRoi": {"enum": ["0", "1", 0, 1, None]},
                    "callinNumber": {"type": ["string", "null"]},
                },
            },
            "list": {
                "type": "object",
                "required": ["success", "error_code", "totalRecord", "data"],
                "properties": {
                    **_ENVELOPE,
                    "totalRecord": {"type": "integer"},
                    "data": {"type": "array", "items": {"$ref": "#/components/schemas/queue"}},
                },
            },
            "done": {
                "type": "object",
                "required": ["success", "error_code"],
                "properties": {**_ENVELOPE, "error_message": {"type": "string"}},
            },
        },
    },
}

# Headers that any HTTP client may send. The description lists the others.
_TRANSPORT_HEADERS: Final = {"host", "accept", "accept-encoding", "user-agent", "connection"}
_BODY_HEADERS: Final = {"content-type", "content-length"}

_ANSWERS: Final[Mapping[str, Mapping[str, object]]] = {
    "list": {"success": "1", "error_code": "SUCCESS", "totalRecord": _LISTED, "data": [dict(QUEUE)]},
    "get": dict(QUEUE),
    "update": {"success": "1", "error_code": "SUCCESS", "error_message": "Inbound queue updated successfully"},
}


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        found: Any = DESCRIPTION
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def violations(schema: Mapping[str, Any], value: object) -> list[str]:
    """The violations of a schema of the description by a value."""
    whole = {**schema, "components": DESCRIPTION["components"]}  # for the references
    checker = _jsonschema.Draft202012Validator(whole)
    return [error.message for error in checker.iter_errors(value)]


def check_description() -> None:
    """Raise an error if a schema of the description is not valid."""
    for part in DESCRIPTION["components"]["schemas"].values():
        _jsonschema.Draft202012Validator.check_schema(part)


@frozen
class _Operation:
    spec: dict[str, Any]
    path_values: Mapping[str, str]


def _find(method: str, path: str) -> _Operation | None:
    for server in DESCRIPTION["servers"]:
        prefix = server["url"].rstrip("/")
        for template, operations in DESCRIPTION["paths"].items():
            pattern = re.escape(prefix + template).replace(r"\{id\}", "(?P<id>[^/]*)")
            match = re.fullmatch(pattern, path)
            if match is not None and method.lower() in operations:
                return _Operation(operations[method.lower()], match.groupdict())
    return None


def _typed(schema: Mapping[str, Any], text: str) -> object:
    """A value of path, query or header in the type of its schema, or the text if it does not have that form."""
    if schema["type"] == "integer" and re.fullmatch("0|-?[1-9][0-9]*", text):
        return int(text)
    return text


def _check_parameters(request: web.BaseRequest, operation: _Operation) -> list[str]:
    found: list[str] = []
    places: dict[str, Mapping[str, str]] = {
        "path": operation.path_values,
        "query": request.query,
        "header": request.headers,
    }
    known: dict[str, set[str]] = {"path": set(), "query": set(), "header": set()}
    for reference in operation.spec["parameters"]:
        parameter = _resolved(reference)
        name, place = parameter["name"], parameter["in"]
        known[place].add(name.lower() if place == "header" else name)
        if name in places[place]:
            value = _typed(parameter["schema"], places[place][name])
            found += [f"{place} {name}: {problem}" for problem in violations(parameter["schema"], value)]
        elif parameter.get("required"):
            found.append(f"{place} {name} is missing")
    if len(request.query) != len(set(request.query)):
        found.append("a query parameter occurs twice")
    found += [f"query {name} is unknown" for name in request.query if name not in known["query"]]
    schemes = DESCRIPTION["components"]["securitySchemes"].values()
    allowed = known["header"] | _TRANSPORT_HEADERS | {scheme["name"].lower() for scheme in schemes}
    if "requestBody" in operation.spec:
        allowed |= _BODY_HEADERS
    found += [f"header {name} is unknown" for name in request.headers if name.lower() not in allowed]
    if len(request.headers) != len({name.lower() for name in request.headers}):
        found.append("a header occurs twice")
    return found


def _check_key(request: web.BaseRequest, key: str) -> list[str]:
    schemes = DESCRIPTION["components"]["securitySchemes"]
    sent = {name for name, scheme in schemes.items() if scheme["name"] in request.headers}
    found = [f"{name}: not the bare key" for name in sent if request.headers[schemes[name]["name"]] != key]
    if sent not in [set(requirement) for requirement in DESCRIPTION["security"]]:
        found.append("no key")
    return found


def _check_body(request: web.BaseRequest, operation: _Operation, body: bytes) -> list[str]:
    wanted = operation.spec.get("requestBody")
    if wanted is None:
        return ["a body where none is allowed"] if body else []
    media = wanted["content"].get(request.headers.get("Content-Type", ""))
    if media is None:
        return ["an unknown media type"]
    try:
        value = json.loads(body)
    except ValueError:
        return ["a body that is not JSON"]
    return [f"body: {problem}" for problem in violations(_resolved(media["schema"]), value)]


@define(eq=False)
class CheckingServer:
    """Responds to valid requests with the vendor's examples, and to all others with 400 and the violations.

    Attributes:
        key: The only valid key.
        accepted: Method, path with query, and body of each valid request.
        refused: The violations of each other request.
    """

    key: str = "sk_live_right"
    accepted: list[tuple[str, str, object]] = field(init=False, factory=list[tuple[str, str, object]])
    refused: list[list[str]] = field(init=False, factory=list[list[str]])
    _runner: web.ServerRunner | None = field(init=False, default=None)

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> URL:
        """Where it listens."""
        assert self._runner is not None
        host, port = cast("tuple[str, int]", self._runner.addresses[0])
        return URL.build(scheme="http", host=host, port=port)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        operation = _find(request.method, request.path)
        if operation is None:
            problems = [f"{request.method} {request.path} is not described"]
        else:
            problems = [
                *_check_parameters(request, operation),
                *_check_key(request, self.key),
                *_check_body(request, operation, body),
            ]
        if problems or operation is None:
            self.refused.append(problems)
            return web.json_response(
                {"success": "0", "error_code": "INVALID_INPUT", "error_message": "; ".join(problems)}, status=400
            )
        self.accepted.append((request.method, request.path_qs, json.loads(body) if body else None))
        answer = _ANSWERS[operation.spec["operationId"]]
        if operation.spec["operationId"] == "list" and request.query.get("page", "0") != "0":
            page = int(request.query["page"])
            answer = {**answer, "data": [dict(QUEUE) | {"callinId": page}] if page < _LISTED else []}
        schema = operation.spec["responses"]["200"]["content"]["application/json"]["schema"]
        assert violations(_resolved(schema), answer) == []
        return web.json_response(answer)
