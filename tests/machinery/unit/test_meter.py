"""What the meter remembers of an answer, and makes of a failure."""

import pytest

from {{ cookiecutter.__package }}.llm.metering import Meter
from {{ cookiecutter.__package }}.llm.provider import AnsweredBy, Body, Delta, ErrorKind, Finish, ProviderError, Request, Usage

HELD = 1_000


def test_the_last_names_that_the_vendor_gave_stay() -> None:
    meter = Meter(Request("demo-1", (), 10))
    assert (meter.is_finished, meter.finish_reason, meter.service_tier) == (False, None, None)
    for item in (AnsweredBy("demo-2", "priority"), AnsweredBy(), Finish("length"), Finish()):
        meter.add(item)
    names = (meter.answered_by, meter.service_tier, meter.is_finished, meter.finish_reason)
    assert names == ("demo-2", "priority", True, "length")


def test_images_count_as_input_unless_the_vendor_reports_it() -> None:
    meter = Meter(Request("demo-1", (), 10, body=Body(tokens=5, images=2)))
    meter.ask()
    assert meter.usage.input_tokens == 2_005
    meter.add(Usage(input_tokens=170))
    assert meter.usage.input_tokens == 170


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (ProviderError("refused", "400", detail="Too long.", status=400), "provider_refused", "Too long."),
        (ProviderError("refused", "404", detail="No such model.", status=404), "provider_error", ""),
        (ProviderError("refused", "401", status=401), "provider_error", ""),
        (ProviderError("limited", "429", retry_after=7), "limit_exceeded", ""),
        (ProviderError("broken_off", "no end"), "provider_error", ""),
    ],
    ids=str,
)
def test_callers_learn_what_they_can_mend(error: ProviderError, code: str, detail: str) -> None:
    problem = Meter(Request("demo-1", (), 10)).add_failure(error, HELD)
    assert problem.code == code
    assert detail in problem.body("r")["detail"]
    assert problem.headers.get("Retry-After") == ("7" if error.kind == "limited" else None)


@pytest.mark.parametrize(
    ("kind", "answered", "began", "is_billed"),
    [
        ("unreachable", False, False, False),
        ("failed", True, False, False),
        ("timeout", False, False, True),
        ("broken_off", False, True, True),
        ("failed", True, True, True),
    ],
)
def test_a_failed_call_is_billed_unless_the_vendor_was_not_reached_or_told_the_failure_first(
    kind: ErrorKind, *, answered: bool, began: bool, is_billed: bool
) -> None:
    meter, error = Meter(Request("demo-1", (), 10)), ProviderError(kind, "failed", answered=answered)
    meter.ask()
    if began:
        meter.add(Delta("Hi"))
    meter.add_failure(error, HELD)
    assert (meter.is_used, error.is_billed) == (is_billed, is_billed)
