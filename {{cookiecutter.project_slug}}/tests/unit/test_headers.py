import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.headers import bearer_token, carry_credentials, check_claim, without_secret


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([b""], id="empty"),
        pytest.param([b"Bearer"], id="scheme alone"),
        pytest.param([b"Bearer  "], id="blank"),
        pytest.param([b"Basic dXNlcjpwYXNz"], id="another scheme"),
        pytest.param([b"Bearer k\xc3\xa9y"], id="not ASCII"),
        pytest.param([b"Bearer a", b"Bearer a"], id="two headers"),
    ],
)
def test_whatever_is_no_single_bearer_token_is_unauthenticated(values: list[bytes]) -> None:
    with pytest.raises(Problem) as problem:
        bearer_token([(b"authorization", value) for value in values])
    assert problem.value.code == "unauthenticated"


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert bearer_token([(b"host", b"x"), (b"authorization", b"bEARER abc")]) == "abc"


@pytest.mark.parametrize("value", [b"globex", b"Acme", b"acme ", b"", b"\xff"])
def test_a_claim_to_be_another_tenant_is_a_mismatch(value: bytes) -> None:
    with pytest.raises(Problem) as problem:
        check_claim([(b"x-tenant-id", value)], "acme")
    assert problem.value.code == "tenant_mismatch"


def test_two_claims_are_invalid_even_if_they_agree() -> None:
    with pytest.raises(Problem) as problem:
        check_claim([(b"x-tenant-id", b"acme")] * 2, "acme")
    assert problem.value.code == "invalid_request"


def test_no_claim_and_a_true_one_pass() -> None:
    check_claim([], "acme")
    check_claim([(b"x-tenant-id", b"acme")], "acme")


@pytest.mark.parametrize("name", [b"authorization", b"x-gateway-secret"])
def test_what_proves_an_identity_is_a_credential(name: bytes) -> None:
    assert carry_credentials([(b"host", b"x"), (name, b"")])


def test_a_name_alone_is_no_credential() -> None:
    assert not carry_credentials([(b"host", b"x"), (b"x-tenant-id", b"acme"), (b"cookie", b"session=1")])


def test_the_gateways_secret_can_be_taken_out() -> None:
    sent = [(b"host", b"x"), (b"x-gateway-secret", b"a"), (b"x-tenant-id", b"acme"), (b"x-gateway-secret", b"b")]
    assert without_secret(sent) == [(b"host", b"x"), (b"x-tenant-id", b"acme")]
