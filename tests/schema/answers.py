"""Whatever schemathesis makes of the app's own OpenAPI, the app answers as that declares: no other status, no 5xx.

test_generated.py puts this into projects, as one more file of their tests/behaviour: they need no schemathesis.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema_rs import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from ..running import App, Emulator, wait_until

EXAMPLES = 30
OPERATIONS = {
    "POST /api/chat",
    "POST /api/summarize",
    "POST /api/agent",
    "GET /api/budget/me",
    "GET /api/budget/{tenant}",
}
REFUSED = {413, 422}
"""How a body that is too large, or not as declared, is answered."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def document(app: App) -> Any:
    refused = {"expected-statuses": sorted(REFUSED)}
    identity_is_ours = {"with-security-parameters": False}
    config = SchemathesisConfig.from_dict(
        {"checks": {"negative_data_rejection": refused}, "generation": identity_is_ours}
    )
    return schemathesis.openapi.from_url(f"{app.url}/openapi.json", config=config)


def test_every_operation_is_tried(document: Any) -> None:
    declared = {result.ok().label for result in document.get_all_operations()}
    assert {label for label in declared if "/api/" in label} - {"POST /api/sync/summarize"} == OPERATIONS


def bodies(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each body that an operation takes or sends."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for place in (operation.get("requestBody", {}), *operation["responses"].values()):
                yield from place.get("content", {}).values()


def test_every_example_fits_its_schema(app: App) -> None:
    document = httpx.get(f"{app.url}/openapi.json").json()
    schemas = document["components"]["schemas"]
    shown = [(schema, example) for schema in schemas.values() for example in schema.get("examples", ())]
    for body in bodies(document):
        named = [each["value"] for each in body.get("examples", {}).values()]
        examples = [*named, *body["schema"].get("examples", ()), *([body["example"]] if "example" in body else ())]
        shown += [(body["schema"], example) for example in examples]
    assert len(shown) > 100
    for schema, example in shown:
        Draft202012Validator({**schema, "components": document["components"]}).validate(example)


@pytest.mark.parametrize(
    ("mode", "anonymous"),
    [(GenerationMode.POSITIVE, False), (GenerationMode.NEGATIVE, False), (GenerationMode.POSITIVE, True)],
    ids=["good", "bad", "good but anonymous"],
)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_every_answer_is_one_that_openapi_declares(
    document: Any, app: App, emulator: Emulator, label: str, mode: GenerationMode, *, anonymous: bool
) -> None:
    method, path = label.split()
    if mode is GenerationMode.NEGATIVE and method == "GET":
        pytest.skip("any text is a path")
    tenant = app.add_tenant("1.00")
    headers = {**tenant["headers"], "X-Tenant-ID": tenant["id"]}  # another is a mismatch
    if anonymous:  # an address of their own: so many strangers at ours would be told to wait
        headers = {"X-Forwarded-For": "203.0.113.99"}
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        statuses.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

    answers()
    assert statuses <= ({401} if anonymous else {200, 402, 404, *REFUSED})
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 10, "nothing is held")
    if anonymous or mode is GenerationMode.NEGATIVE:
        assert emulator.ledger(tenant["id"])["spent"] == 0
