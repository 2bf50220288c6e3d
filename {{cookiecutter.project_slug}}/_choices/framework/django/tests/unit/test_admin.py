import re

import httpx
import pytest

from ..running import App

TENANTS, KEYS = "/admin/tenants/tenant/", "/admin/tenants/apikey/"


def test_lists_show_dollars(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant("7.00", "", "--overdraft", "1.50")
    assert "$7.00" in operator.get(TENANTS, params={"q": tenant["id"]}).text
    page = operator.get(f"{TENANTS}{tenant['id']}/change/").text
    assert "$7.00" in page
    assert "$1.50" in page


def test_pages_hold_no_secret_and_no_way_to_edit(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant()
    app.done("tenants", "update", tenant["id"], "--alert-url", "json://127.0.0.1:9/secret")
    lists = [operator.get(path).text for path in (TENANTS, KEYS)]
    rows = [operator.get(path) for page in lists for path in re.findall(r'"(/admin/[^"]+/change/)[?"]', page)]
    assert {row.status_code for row in rows} == {200}
    headers = tenant["headers"].items()
    secrets = [value.removeprefix("Bearer ") for name, value in headers if name != "X-Tenant-ID"]
    secrets += ["gAAAA"]  # the first characters of an encrypted key or address
    for page in [*lists, *(row.text for row in rows)]:
        assert not any(secret in page for secret in secrets)
        assert not re.search(r'name="_save"|addlink|[0-9a-f]{64}', page)


@pytest.mark.parametrize(
    "query",
    [
        f"{TENANTS}?sealed_key__startswith=",
        f"{TENANTS}?apikey__digest__startswith=",
        f"{KEYS}?digest__startswith=",
        f"{KEYS}?tenant__sealed_key__startswith=",
    ],
)
def test_secret_columns_can_not_be_guessed_by_filters(operator: httpx.Client, query: str) -> None:
    answers = [operator.get(f"{query}{guess}") for guess in ("gAAAA", "0", "no")]
    assert {answer.status_code for answer in answers} <= {400, 422}
    assert operator.get(f"{TENANTS}?status__exact=active").status_code == 200
