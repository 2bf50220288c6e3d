"""The provider's own API: its answers, and that the charge is what the answer says."""

import json
from typing import Any

import httpx
import pytest

from ..running import App, Emulator
from .test_isolation import routes
from .test_refusals import assert_problem


def paid_routes(api: httpx.Client) -> list[tuple[str, dict[str, Any]]]:
    found = routes(api, "any")
    return [(path, body) for _, path, body in found if body and path.startswith("/v1/") and "count" not in path]


def events_of(text: str) -> list[dict[str, Any]]:
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def test_a_call_of_the_providers_api_reports_what_it_costs(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant, spent = app.add_tenant("1.00"), 0
    for path, body in paid_routes(api):
        answer = api.post(path, json=body, headers=tenant["headers"])
        assert answer.status_code == 200, answer.text
        before, spent = spent, emulator.ledger(tenant["id"])["spent"]
        assert answer.headers["X-Budget-Cost"] == str(spent - before)
        assert answer.json()["usage"]["cost"] == (spent - before) / 10**8
        assert answer.headers["X-Budget-Remaining"] == str(emulator.ledger(tenant["id"])["remaining"])


def test_a_stream_of_the_providers_api_ends_with_its_cost(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant, spent = app.add_tenant("1.00"), 0
    for path, body in paid_routes(api):
        if "embeddings" in path:
            continue
        options = {"stream_options": {"include_usage": True}} if "completions" in path else {}
        answer = api.post(path, json={**body, "stream": True, **options}, headers=tenant["headers"])
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert int(answer.headers["X-Budget-Remaining"]) > 0
        events = events_of(answer.text)
        usage = [(event.get("response") or event).get("usage") for event in events]
        before, spent = spent, emulator.ledger(tenant["id"])["spent"]
        assert [each["cost"] for each in usage if each and "cost" in each] == [(spent - before) / 10**8]


def test_a_stream_has_no_usage_unless_the_caller_asked_for_it(api: httpx.Client, acme: dict[str, str]) -> None:
    for path, body in paid_routes(api):
        if "completions" in path:
            answer = api.post(path, json={**body, "stream": True}, headers=acme)
            assert answer.text.endswith("data: [DONE]\n\n")
            assert all(event["choices"] and "usage" not in event for event in events_of(answer.text))


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"background": True}, "unsupported_parameter", "background"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools[0].type"),
        ({"store": True}, "unsupported_parameter", "store"),
        ({"new_field": 1}, "unsupported_parameter", "new_field"),
        ({"model": "another"}, "unknown_model", "model"),
        ({"model": 5}, "invalid_request", "model"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(
    app: App, api: httpx.Client, emulator: Emulator, change: dict[str, Any], code: str, param: str
) -> None:
    tenant = app.add_tenant("1.00")
    for path, body in paid_routes(api):
        error = assert_problem(api.post(path, json={**body, **change}, headers=tenant["headers"]), 422, code)
        assert param in (error["param"], error["param"] + "[0].type")
    assert emulator.ledger(tenant["id"])["spent"] == 0


def test_errors_have_the_providers_shape(app: App, api: httpx.Client, acme: dict[str, str]) -> None:
    poor = app.add_tenant("0.00000010")
    for path, body in paid_routes(api):
        error = assert_problem(api.post(path, json=body, headers=poor["headers"]), 402, "budget_exceeded")
        assert error["remaining"] == 10 < error["required"]
        assert error["scope"]
        assert_problem(api.post(path, json=body), 401, "unauthenticated")
        assert_problem(
            api.post(path, content="{", headers={**acme, "Content-Type": "application/json"}), 422, "invalid_request"
        )
        assert_problem(
            api.post(path, content="x", headers={**acme, "Content-Type": "text/plain"}), 415, "unsupported_media_type"
        )
        assert_problem(api.get(path, headers=acme), 405, "method_not_allowed")
    assert_problem(api.post("/v1/nothing", json={}, headers=acme), 404, "not_found")
    assert_problem(api.get("/v1/models/another", headers=acme), 404, "not_found")


def test_the_allowed_models_are_listed(api: httpx.Client, acme: dict[str, str]) -> None:
    models = [model["id"] for model in api.get("/v1/models", headers=acme).json()["data"]]
    assert [api.get(f"/v1/models/{model}", headers=acme).json()["id"] for model in models] == models


def test_output_limits_are_lowered_and_the_answer_says_to_what(api: httpx.Client, acme: dict[str, str]) -> None:
    names = {"/v1/chat/completions": "max_completion_tokens", "/v1/responses": "max_output_tokens"}
    for path, body in paid_routes(api):
        if "embeddings" not in path:
            name = names.get(path, "max_tokens")
            high = api.post(path, json={**body, name: 10**6}, headers=acme)
            assert (high.status_code, high.headers["X-Budget-Max-Tokens"]) == (200, "1024"), high.text
            low = api.post(path, json={**body, name: 3}, headers=acme)
            usage = low.json()["usage"]
            assert usage.get("completion_tokens", usage.get("output_tokens")) <= 3
            assert "X-Budget-Max-Tokens" not in low.headers


def test_large_bodies_pass_where_images_may_be_sent(api: httpx.Client, acme: dict[str, str]) -> None:
    for path, body in paid_routes(api):
        answer = api.post(path, json={**body, "user": "x" * 2 * 1024 * 1024}, headers=acme)
        assert answer.status_code == 422
        answer = api.post(path, json={**body, "user": "x" * 21 * 1024 * 1024}, headers=acme)
        assert_problem(answer, 413, "too_large")
