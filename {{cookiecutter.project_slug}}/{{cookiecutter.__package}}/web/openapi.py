"""OpenAPI: error responses and security schemes."""

from typing import Any

from ..core.identity_settings import SCHEMES
from ..core.problems import MEDIA_TYPE, OUTCOMES
from .schemas import ProblemBody


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with these problems."""
    schema = ProblemBody.model_json_schema()
    titles = {status: title for status, title, _ in reversed(OUTCOMES.values())}
    return {status: {"description": titles[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def body_like(example: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI of a request body that the provider documents."""
    schema = {"type": "object", "examples": [example]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body gets the same answer for 24 hours, and is charged once",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}


def with_identity(document: dict[str, Any]) -> dict[str, Any]:
    """Add the security schemes to each route that may answer 401, and Idempotency-Key to each that may answer 409."""
    document["components"]["securitySchemes"] = SCHEMES
    for path in document["paths"].values():
        for operation in path.values():
            if {"401", 401} & operation["responses"].keys():
                operation["security"] = [{name: [] for name in SCHEMES}]
            if {"409", 409} & operation["responses"].keys():
                others = [each for each in operation.get("parameters", ()) if each != KEY]
                operation["parameters"] = [*others, KEY]
    return document


PAID = problems(401, 402, 403, 409, 413, 415, 422, 429, 500, 502, 503)
PROVIDERS = {
    status: {"description": response["description"]}
    for status, response in problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503).items()
}
"""Errors of the provider's own API, in its shape."""
BUDGET = problems(401, 403, 404, 422, 429, 500, 503)
EVENTS = {"description": "With `stream`: `delta` events, then one `done` or `error`"}
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": EVENTS}}}}
