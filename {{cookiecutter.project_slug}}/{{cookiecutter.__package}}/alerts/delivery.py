"""Delivery of alerts by apprise: at least once to each address, retried with backoff."""

import hashlib
import logging
from datetime import datetime, timedelta

import structlog
from cryptography.fernet import InvalidToken, MultiFernet

from ..core.about import TITLE
from ..core.ciphers import fernets_of
from ..core.config import Settings
from ..core.problems import Problem
from .models import Alert
from .store import AlertStore

log = structlog.get_logger(__name__)

BATCH = 100
LEASE = timedelta(minutes=5)
"""How long an alert belongs to the worker that is sending it: longer than all its addresses take."""
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=30), timedelta(hours=1)


class Addresses:
    """The apprise URLs of operators (ALERT_URLS) and, encrypted with SECRET_KEY, of tenants."""

    def __init__(self, settings: Settings) -> None:
        self.common = [url.get_secret_value() for url in settings.alert_urls]
        self._fernets = fernets_of(settings.secret_key, "alert addresses")

    def seal(self, urls: str) -> str:
        """Encrypt URLs, separated by commas. `none` is no URL. Raises Problem for what apprise does not accept."""
        if urls == "none":
            return ""
        for url in urls.split(","):
            if not is_valid(url):
                raise Problem("invalid_alert_url", f"{mask(url)} is not a URL that apprise can send to.")
        if not self._fernets:
            raise Problem("not_configured", "SECRET_KEY is missing. It encrypts the addresses.")
        return MultiFernet(self._fernets).encrypt(urls.encode()).decode()

    def open(self, sealed: str) -> list[str]:
        """Return decrypted URLs, none if no secret of SECRET_KEY fits."""
        if not sealed:
            return []
        try:
            return MultiFernet(self._fernets).decrypt(sealed).decode().split(",")
        except (InvalidToken, ValueError):  # ValueError: no secret
            log.error("alert addresses not decrypted", reason="no secret of SECRET_KEY fits")
            return []

    def masked(self, sealed: str) -> str | None:
        """Return what may be shown of encrypted URLs."""
        return ", ".join(map(mask, self.open(sealed))) or None


def mask(url: str) -> str:
    """Return the kind of a URL: the rest may be secret."""
    kind, _, rest = url.strip().partition("://")
    return f"{kind}://***" if rest else "***"


def is_valid(url: str) -> bool:
    """Return whether apprise can send to a URL."""
    from apprise import Apprise  # noqa: PLC0415  (takes 90 ms: only for those who need it)

    return Apprise.instantiate(url.strip()) is not None


async def send(url: str, text: str) -> bool:
    """Send a text to one address. Return whether it was accepted."""
    from apprise import Apprise, NotifyType  # noqa: PLC0415

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages have addresses
    receiver = Apprise.instantiate(url.strip())
    return bool(receiver and await receiver.async_notify(title=TITLE, body=text, notify_type=NotifyType.WARNING))


async def deliver(store: AlertStore, alert: Alert, urls: list[str], now: datetime) -> None:
    """Send a claimed alert to the addresses that have not accepted it yet, and store which have."""
    done = alert.delivered_to.split()
    digests = {hashlib.sha256(url.encode()).hexdigest()[:16]: url for url in urls}
    for digest, url in digests.items():
        if digest not in done and await send(url, f"{alert.text}\n\nAlert {alert.id}"):
            done.append(digest)
    alert.delivered_to = " ".join(done)
    alert.attempts += 1
    if digests.keys() <= {*done}:
        alert.delivered_at = now
    else:
        log.warning("alert not delivered, trying again", alert=alert.id, attempts=alert.attempts)
        alert.next_try_at = now + min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(alert.attempts - 1, 10))
    await store.save_alert(alert)
