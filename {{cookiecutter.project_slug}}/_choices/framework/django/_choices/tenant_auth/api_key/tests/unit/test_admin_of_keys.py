import re

from ..running import App
from .test_admin import signed_in


def test_the_page_of_a_key_holds_neither_the_key_nor_a_way_to_edit(app: App) -> None:
    tenant = app.add_tenant()
    (key,) = app.done("keys", "list", tenant["id"])["keys"]
    with signed_in(app) as operator:
        page = operator.get(f"/admin/tenants/apikey/{key['key_id']}/change/")
    assert page.status_code == 200
    assert tenant["headers"]["Authorization"].removeprefix("Bearer ") not in page.text
    assert not re.search(r'name="_save"|addlink|[0-9a-f]{64}', page.text)
