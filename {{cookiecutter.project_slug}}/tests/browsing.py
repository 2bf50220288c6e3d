"""Use the dashboard as a browser does: with cookies and forms."""

import re

import httpx

from .running import TLS, App

LOGIN = "/dashboard/login"


def browser(app: App) -> httpx.Client:
    return httpx.Client(base_url=app.url, headers={"Accept": "text/html,*/*;q=0.8"}, timeout=30, verify=TLS)


def hidden_fields(page: httpx.Response) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))


def sign_in(client: httpx.Client, username: str, password: str, at: str = LOGIN) -> httpx.Response:
    fields = hidden_fields(client.get(at))
    return client.post(LOGIN, data={**fields, "username": username, "password": password})


def follow_link(client: httpx.Client, url: str) -> httpx.Response:
    """Open a sign-in link and submit its form."""
    return client.post(url, data=hidden_fields(client.get(url)))


def do(client: httpx.Client, tenant: str, verb: str, amount: str = "") -> httpx.Response:
    """Open the form of an action on a tenant, and submit it."""
    path = f"/dashboard/tenants/{tenant}/{verb}"
    return client.post(path, data={**hidden_fields(client.get(path)), "amount": amount})


def calls(client: httpx.Client, **query: str) -> list[str]:
    """Return the paths of the calls that the list shows, newest first."""
    page = client.get("/dashboard/calls", params=query).text
    return re.findall(r'<a href="(/dashboard/calls/\w+)">', page)


def vital(operator: httpx.Client, name: str) -> str:
    """Return a value under Settlement on the overview."""
    page = operator.get("/dashboard/").text
    found = re.search(rf"<dt>{name}</dt><dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    assert found, page
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())
