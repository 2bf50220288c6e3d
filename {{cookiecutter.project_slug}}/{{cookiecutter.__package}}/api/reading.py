"""Reading of what a caller sends to the provider's API."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from ..budget.hold import Work
from ..core.config import Settings
from ..core.http_json import JSON
from ..core.problems import Problem
from ..llm.provider import Request
from ..tenants.headers import Headers, values_of
from ..web.schemas import EndUser
from .endpoint import Endpoint
from .fields import HEADERS, Fields, unsupported

BETA = "anthropic-beta"
_END_USER: TypeAdapter[str | None] = TypeAdapter(EndUser | None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: its body, and the work that the guard holds for it. `limit` is the output limit that the caller set.

    `may_fall_back`: the caller accepts the answer of another model.
    """

    endpoint: Endpoint
    work: Work
    body: dict[str, Any]
    query: str
    headers: dict[str, str]
    limit: int | None
    may_fall_back: bool


def read(
    endpoint: Endpoint, settings: Settings, tenant: str, sent: bytes, headers: Headers, query: str, request_id: str
) -> Asked:
    """Return a call. Raise Problem invalid_request, unknown_model or unsupported_parameter."""
    try:
        body = JSON.validate_json(sent)
    except ValueError:
        raise Problem("invalid_request", "The body is not a JSON object.") from None
    fields = Fields(body, endpoint.path)
    model = next(iter(fields.found["model"]), settings.llm_model)
    if model not in settings.models:
        raise Problem("unknown_model", f"Available models: {', '.join(settings.models)}.", param="model")
    limit = max(fields.found["limit"], default=None)
    most = min(settings.llm_max_tokens, limit or settings.llm_max_tokens) if endpoint.limits else 0
    work = Work(
        tenant=tenant,
        route=endpoint.path.strip("/"),
        request=Request(model, (), most, body=fields.size),
        request_id=request_id,
        end_user=_end_user(*fields.found["end_user"]),
    )
    may_fall_back = values_of(headers, b"x-budget-fallback") == [b"allow"]
    return Asked(endpoint, work, body, _query(query), _betas(headers), limit, may_fall_back)


def _end_user(name: Any = None, *_: Any) -> str | None:
    try:
        return _END_USER.validate_python(name, strict=True)
    except ValidationError:
        raise Problem("invalid_request", "The user must have 1 to 256 characters, none of control.") from None


def _query(query: str) -> str:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if f"{name}={value}" not in HEADERS["query"]:
            raise unsupported(f"?{name}={value}")
    return f"?{query}" if query else ""


def _betas(headers: Headers) -> dict[str, str]:
    """Return the features that the caller asks for in its headers."""
    betas = [beta.strip() for sent in values_of(headers, BETA.encode()) for beta in sent.decode("latin-1").split(",")]
    for beta in betas:
        if beta not in HEADERS["request"]:
            raise unsupported(f"{BETA}: {beta}")
    return {BETA: ",".join(betas)} if betas else {}
