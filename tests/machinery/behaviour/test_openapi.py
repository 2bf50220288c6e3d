"""OpenAPI and the page that shows it: both frameworks describe the same API."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from ..running import ACME

FREE = {"200", "401", "403", "404", "422", "429", "500", "503"}
PAID = {"200", "401", "402", "403", "409", "413", "415", "422", "429", "500", "502", "503"}
STATUSES = {
    **dict.fromkeys(("chat", "summarize", "agent"), PAID),
    **dict.fromkeys(("my_budget", "budget", "models", "model"), FREE),
    "alive": {"200"},
    "ready": {"200", "503"},
}
PROVIDERS_PAID = PAID | {"400", "404"}


class Operation(NamedTuple):
    method: str
    path: str
    content: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.content["operationId"])

    @property
    def bodies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each body that it takes or sends, by a name for messages."""
        for media_type, body in self.content.get("requestBody", {}).get("content", {}).items():
            yield f"{self.id} request {media_type}", body
        for status, response in self.content["responses"].items():
            for media_type, body in response["content"].items():
                yield f"{self.id} {status} {media_type}", body


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> Any:
    return api.get("/openapi.json").raise_for_status().json()


@pytest.fixture(scope="module")
def operations(document: Any) -> list[Operation]:
    return [
        Operation(method, path, content)
        for path, methods in document["paths"].items()
        for method, content in methods.items()
        if "/sync/" not in path
    ]


def examples(body: dict[str, Any], document: Any) -> list[Any]:
    schema = body["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    named = [each["value"] for each in body.get("examples", {}).values()]
    return [*named, *schema.get("examples", []), *([body["example"]] if "example" in body else [])]


def test_operations_have_short_ids_and_exactly_their_statuses(operations: list[Operation]) -> None:
    found = {each.id: each.content["responses"].keys() for each in operations}
    providers = {each.id for each in operations if each.path.startswith("/v1/") and each.method == "post"}
    assert providers
    assert found == STATUSES | dict.fromkeys(providers, PROVIDERS_PAID)


def test_tags_are_described(document: Any, operations: list[Operation]) -> None:
    assert all(each["description"] for each in document["tags"])
    assert {tag for each in operations for tag in each.content["tags"]} == {each["name"] for each in document["tags"]}


def test_every_request_answer_and_error_has_an_example(document: Any, operations: list[Operation]) -> None:
    lacking = [name for each in operations for name, body in each.bodies if not examples(body, document)]
    assert lacking == []


def test_examples_of_errors_are_named_by_their_code(operations: list[Operation]) -> None:
    for operation in operations:
        for status, response in operation.content["responses"].items():
            if status == "200" or operation.id == "ready":
                continue
            (body,) = response["content"].values()
            for code, example in body["examples"].items():
                told = example["value"].get("error", example["value"])
                assert told["code"] == code, operation
                assert example["value"].get("status", int(status)) == int(status), operation
    free = next(each for each in operations if each.id == "my_budget")
    assert free.content["responses"]["422"]["content"]["application/problem+json"]["examples"].keys() == {
        "invalid_request"
    }


def test_headers_are_declared_where_they_are_sent_and_taken(document: Any, operations: list[Operation]) -> None:
    schemes = {each.get("name") for each in document["components"]["securitySchemes"].values()}
    for operation in operations:
        responses, is_paid = operation.content["responses"], "409" in operation.content["responses"]
        sent = {status: response.get("headers", {}).keys() for status, response in responses.items()}
        assert ("X-Budget-Cost" in sent["200"]) == is_paid
        taken = {each["$ref"].rpartition("/")[2] for each in operation.content["parameters"] if "$ref" in each}
        assert ("Idempotency-Key" in taken) == is_paid
        if "401" in responses:
            assert ("X-Tenant-ID" in taken) != ("X-Tenant-ID" in schemes)
            assert {"Retry-After", "X-Request-Id"} <= sent["429"] & sent["503"]
            assert "WWW-Authenticate" in sent["401"]


def test_a_request_like_the_example_is_answered_like_the_example(
    api: httpx.Client, acme: dict[str, str], document: Any, operations: list[Operation]
) -> None:
    model = api.get("/v1/models", headers=acme).json()["data"][0]["id"]
    for operation in operations:
        path = operation.path.replace("{tenant}", ACME).replace("{model}", model)
        bodies = dict(operation.bodies)
        request = bodies.get(f"{operation.id} request application/json")
        sent = examples(request, document)[0] if request else None
        answer = api.request(operation.method, path, json=sent, headers=acme)
        assert answer.status_code == 200, answer.text
        (example,) = examples(bodies[f"{operation.id} 200 application/json"], document)
        assert members(answer.json()) == members(example), operation.id
        undeclared = {name for name in answer.headers if name.startswith(("x-budget", "x-request"))} - {
            name.lower() for name in operation.content["responses"]["200"]["headers"]
        }
        assert undeclared == set(), operation.id


def members(value: Any) -> Any:
    """What an example must have in common with an answer: the names of its members."""
    if isinstance(value, dict):
        return {name: members(each) for name, each in value.items()}
    return [members(each) for each in value[:1]] if isinstance(value, list) else None


def test_a_refusal_is_its_example(api: httpx.Client, operations: list[Operation]) -> None:
    chat = next(each for each in operations if each.id == "chat")
    (body,) = chat.content["responses"]["401"]["content"].values()
    answer = api.post(chat.path, json={})
    request_id = answer.headers["X-Request-Id"]
    assert answer.json() == {**body["examples"]["unauthenticated"]["value"], "request_id": request_id}


def test_the_documentation_comes_from_the_app_alone(api: httpx.Client) -> None:
    page = api.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    assert api.get("/dashboard/login").headers["Content-Security-Policy"] in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 4
    assert all(link.startswith("/") and not link.startswith("//") for link in links), links
    for link in links:
        assert api.get(link).status_code == 200, link
    scripts = re.findall(r"<script([^>]*)>", page.text)
    assert all("src=" in attributes or 'type="application/json"' in attributes for attributes in scripts)
