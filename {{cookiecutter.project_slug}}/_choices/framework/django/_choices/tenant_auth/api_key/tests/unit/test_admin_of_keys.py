import re

import httpx

from ..running import App


def test_page_of_a_key_holds_no_key_and_no_way_to_edit(app: App, operator: httpx.Client) -> None:
    tenant = app.add_tenant()
    (key,) = app.done("keys", "list", tenant["id"])["keys"]
    page = operator.get(f"/admin/tenants/apikey/{key['key_id']}/change/")
    assert page.status_code == 200
    assert tenant["headers"]["Authorization"].removeprefix("Bearer ") not in page.text
    assert not re.search(r'name="_save"|addlink|[0-9a-f]{64}', page.text)
