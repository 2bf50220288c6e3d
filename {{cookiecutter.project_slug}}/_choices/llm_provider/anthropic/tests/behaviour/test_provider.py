"""The model provider fails: the caller learns it, and pays nothing for what was not used."""

from ..running import HTTP, App, Emulator, free_port
from .test_refusals import assert_problem


def test_a_provider_that_cannot_be_reached_is_502_and_nothing_is_charged(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")
    nobody = f"http://127.0.0.1:{free_port()}"
    settings = {"LLM_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": "not-a-key", "ANTHROPIC_BASE_URL": nobody}
    calls = (
        ("/api/chat", {"prompt": "Hello"}),
        ("/api/chat", {"prompt": "Hello", "stream": True}),
        ("/api/summarize", {"text": "Hello"}),
    )
    with installed.serving(**settings) as serving:
        for path, body in calls:
            answer = HTTP.post(serving.url + path, json=body, headers=tenant["headers"], timeout=30)
            problem = assert_problem(answer, 502, "provider_error")
            assert nobody not in str(problem)
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (0, 0)
