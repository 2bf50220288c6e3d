"""Delivery of alerts by apprise: at least once to each address, retried with backoff."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from ..calls.models import Alert
from ..core.about import TITLE
from ..core.ciphers import Cipher, digest_of
from ..core.config import Settings
from ..core.logging import log
from ..core.problems import Problem

FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=30), timedelta(hours=1)


def seal(settings: Settings, urls: str) -> str:
    """Encrypt a tenant's apprise URLs, separated by commas, with SECRET_KEY. `none` is no URL.

    Raise Problem for what apprise does not accept.
    """
    for url in () if urls == "none" else urls.split(","):
        if _receiver(url) is None:
            raise Problem("invalid_alert_url", f"{mask(url)} is not a URL that apprise can send to.")
    return "" if urls == "none" else _cipher(settings).seal(urls)


def unseal(settings: Settings, sealed: str) -> list[str]:
    """Return decrypted URLs, none if no secret of SECRET_KEY fits."""
    urls = _cipher(settings).open(sealed)
    return urls.split(",") if urls else []


def _cipher(settings: Settings) -> Cipher:
    return Cipher("SECRET_KEY", settings.secret_key, "alert addresses")


def mask(url: str) -> str:
    """Return the kind of a URL: the rest may be secret."""
    kind, _, rest = url.strip().partition("://")
    return f"{kind}://***" if rest else "***"


async def send(url: str, text: str) -> bool:
    """Send a text to one address. Return whether it was accepted."""
    receiver = _receiver(url)
    return receiver is not None and bool(await receiver.async_notify(title=TITLE, body=text, notify_type="warning"))


async def deliver(alert: Alert, urls: Iterable[str], now: datetime) -> None:
    """Send an alert to the addresses that have not accepted it yet, and note which have, or when to try again."""
    done, digests = alert.delivered_to.split(), {digest_of(url.encode())[:16]: url for url in urls}
    for digest in digests.keys() - done:
        if await send(digests[digest], f"{alert.text}\n\nAlert {alert.id}"):
            done.append(digest)
    alert.delivered_to = " ".join(done)
    if digests.keys() <= {*done}:
        alert.delivered_at = now
        return
    log.warning("alert not delivered, trying again", alert=alert.id)
    alert.next_try_at = now + min(LONGEST_RETRY, max(FIRST_RETRY, now - alert.created_at))


def _receiver(url: str) -> Any:
    from apprise import Apprise  # noqa: PLC0415  (takes 90 ms: only for those who need it)

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages have addresses
    return Apprise.instantiate(url.strip())
