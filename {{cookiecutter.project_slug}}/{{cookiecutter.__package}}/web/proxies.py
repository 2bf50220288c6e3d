"""Notes proxies that FORWARDED_ALLOW_IPS does not trust, for `doctor`. Behind one, all callers have one address."""

from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from ..core.logging import log

NOTE = "untrusted-proxy"
"""A file in CYCLES_JOURNAL_DIR with the last address, because `doctor` is another process."""


@lru_cache
def note_untrusted(peer: str, journal_dir: Path) -> None:
    """Note, once per process, a peer that sends X-Forwarded-For. One with a public address is taken for a client."""
    with suppress(ValueError, OSError):  # not an IP address, or a folder that can't be written
        if ip_address(peer).is_private:
            log.warning("proxy not trusted, see FORWARDED_ALLOW_IPS", proxy=peer)
            (journal_dir / NOTE).write_text(peer, encoding="utf-8")
