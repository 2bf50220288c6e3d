"""OpenAPI: completes the document that a framework makes of its routes.

Texts and examples are in `openapi.json` and, for the provider's API, in `providers_api.json`: parts of a document.
Examples of errors are made from `core.problems`.
"""

import json
from pathlib import Path
from typing import Any

from ..core.identity_settings import SCHEMES
from ..core.problems import OUTCOMES, Problem, budget_problem
from .errors import PROVIDERS_API, body_of
from .schemas import ProblemBody, invalid

Part = dict[str, Any]

TEXTS, PROVIDERS_PATHS = (
    json.loads(Path(__file__).with_name(name).read_text("utf-8")) for name in ("openapi.json", "providers_api.json")
)
if "tenant" in SCHEMES:
    del TEXTS["declaring"]["401"]  # X-Tenant-ID is a credential
NEVER_SENT = ("forbidden", "tool_not_allowed")
"""Codes of forms and of an agent's tools."""


def declared(*errors: int | str, path: str = "/") -> dict[int | str, Part]:
    """Return the `responses` of a route below `path` for errors, given by status or code, with an example of each."""
    responses: dict[int | str, Part] = {}
    schema = {"type": "object"} if path == PROVIDERS_API else {"$ref": "#/components/schemas/ProblemBody"}
    found = [code for code, (status, *_) in OUTCOMES.items() if {code, status} & {*errors} and code not in NEVER_SENT]
    for problem in sorted(map(_example, found), key=lambda problem: problem.status):
        body, media_type = body_of(problem, "37b9dfcd1e7618bc6cf647722c9457f7", path)
        new = {"description": problem.title, "headers": {}, "content": {media_type: {"schema": schema, "examples": {}}}}
        response = responses.setdefault(problem.status, new)
        response["content"][media_type]["examples"][problem.code] = {"value": body}
        for name in ("X-Request-Id", *problem.headers):
            response["headers"][name] = {"$ref": f"#/components/headers/{name}"}
    return responses


def described(document: Part) -> Part:
    """Complete a document. A route that declares 401 needs credentials, one that declares 409 is paid."""
    schemas = document["components"]["schemas"]
    schemas["ProblemBody"] = ProblemBody.model_json_schema()
    for name in TEXTS["examples"].keys() & schemas.keys():
        schemas[name]["examples"] = TEXTS["examples"][name]
    document["components"] |= {"securitySchemes": SCHEMES, **TEXTS["components"]}
    document["tags"] = TEXTS["tags"]
    paths = TEXTS["paths"] | PROVIDERS_PATHS
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe(operation)
        _merge(operations, paths.get(path, {}))
    return document


def _describe(operation: Part) -> None:
    responses = operation["responses"] = {str(status): each for status, each in operation["responses"].items()}
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    for status, part in TEXTS["declaring"].items():
        if status in responses:
            _merge(operation, part)
    if "401" in responses:
        operation["security"] = [{name: [] for name in SCHEMES}]


def _merge(into: Part, part: Part) -> None:
    for name, value in part.items():
        if isinstance(value, dict):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = into.get(name, []) + value if isinstance(value, list) else value


def _example(code: str) -> Problem:
    if code == "invalid_request":
        return invalid([(["max_tokens"], "Input should be greater than or equal to 1")])
    if OUTCOMES[code][0] == 402:
        return budget_problem(code, "acme", required=463_875, scope="tenant:acme", remaining=443_400)
    return Problem(code)


PAID = declared(401, 402, 403, 409, 413, 415, 422, 429, 500, 502, 503)
PROVIDERS = declared(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, path=PROVIDERS_API)
PROVIDERS_FREE = declared(401, 403, 404, "invalid_request", 429, 500, 503, path=PROVIDERS_API)
BUDGET = declared(401, 403, 404, "invalid_request", 429, 500, 503)
