"""Reading of what a caller sends to the provider's API."""

import json
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from ..budget.hold import Work
from ..core.config import Settings
from ..core.problems import Problem
from ..llm.answers import as_dict
from ..llm.provider import Request
from ..tenants.headers import Headers, values_of
from ..web.schemas import EndUser
from . import dialect
from .endpoint import Endpoint
from .fields import HEADERS, Sizes, unsupported

BETA = "anthropic-beta"
_END_USER: TypeAdapter[str | None] = TypeAdapter(EndUser | None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: its body, and the work that the guard holds for it. `limit` is the output limit that the caller set.

    `may_fall_back`: the caller accepts the answer of another model.
    """

    work: Work
    body: dict[str, Any]
    query: str
    headers: dict[str, str]
    limit: int | None
    may_fall_back: bool

    @property
    def wants_usage(self) -> bool:
        return bool(as_dict(self.body.get("stream_options")).get("include_usage"))

    def by(self, work: Work) -> Self:
        """Return the same call of the model that `work` names."""
        return replace(self, work=work, body={**self.body, "model": work.request.model})

    def body_for(self, limit: int, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the body for the vendor, with an output of at most `limit` tokens."""
        given = {name: min(self.body[name], limit) for name in names if self.body.get(name) is not None}
        return {**self.body, **(given or dict.fromkeys(names[:1], limit))}

    def limit_header(self, request: Request) -> dict[str, str]:
        """Return X-Budget-Max-Tokens if the caller's limit was lowered."""
        is_lowered = self.limit is not None and request.max_tokens < self.limit
        return {"X-Budget-Max-Tokens": str(request.max_tokens)} if is_lowered else {}


def read(
    endpoint: Endpoint, settings: Settings, tenant: str, sent: bytes, headers: Headers, query: str, request_id: str
) -> Asked:
    """Return a call. Raise Problem invalid_request, unknown_model or unsupported_parameter."""
    body = _json(sent)
    model = _a(str, body, "model") or settings.llm_model
    if model not in settings.models:
        raise Problem("unknown_model", f"Available models: {', '.join(settings.models)}.", members={"param": "model"})
    _a(bool, body, "stream")
    numbers = {name: _a(int, body, name) for name in (*endpoint.limits, "n")}
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise _invalid(name, "must be at least 1")
    size = Sizes().of(body, endpoint.path)
    given = [number for name, number in numbers.items() if name != "n" and number is not None]
    limit = max(given, default=None)
    most = min(settings.llm_max_tokens, settings.llm_max_tokens if limit is None else limit) if endpoint.limits else 0
    work = Work(
        tenant=tenant,
        route=endpoint.path.strip("/"),
        request=Request(model, (), most, body=size),
        request_id=request_id,
        end_user=_end_user(body),
    )
    may_fall_back = values_of(headers, b"x-budget-fallback") == [b"allow"]
    return Asked(work, {**body, "model": model}, _query(query), _betas(headers), limit, may_fall_back)


def _json(sent: bytes) -> dict[str, Any]:
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError):
        raise Problem("invalid_request", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem("invalid_request", "The body must be an object.")
    return body


def _a(kind: type, body: dict[str, Any], name: str) -> Any:
    """Return a member, None if absent. Raise Problem if it has another type."""
    value = body.get(name)
    if value is not None and type(value) is not kind:
        raise _invalid(name, f"must be of type {kind.__name__}")
    return value


def _invalid(name: str, why: str) -> Problem:
    return Problem("invalid_request", f"{name} {why}.", members={"param": name})


def _end_user(body: dict[str, Any]) -> str | None:
    try:
        return _END_USER.validate_python(dialect.end_user_of(body), strict=True)
    except ValidationError:
        raise Problem("invalid_request", "The user must have 1 to 256 characters, none of control.") from None


def _query(query: str) -> str:
    allowed = HEADERS["query"]
    for name, value in parse_qsl(query, keep_blank_values=True):
        if f"{name}={value}" not in allowed:
            raise unsupported(f"?{name}={value}")
    return f"?{query}" if query else ""


def _betas(headers: Headers) -> dict[str, str]:
    """Return the features that the caller asks for in its headers."""
    sent = b",".join(values_of(headers, BETA.encode())).decode("latin-1")
    betas = [beta for part in sent.split(",") if (beta := part.strip())]
    for beta in betas:
        if beta not in HEADERS["request"]:
            raise unsupported(f"{BETA}: {beta}")
    return {BETA: ",".join(betas)} if betas else {}
