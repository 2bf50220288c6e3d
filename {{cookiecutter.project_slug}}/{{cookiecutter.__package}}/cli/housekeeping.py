"""`housekeeping`: what has to happen over time, where the serving app has no admin access."""

import signal
import sys
from datetime import UTC, datetime

from ..tenants.service import Answer, TenantService
from ..web.housekeeping import Housekeeping


async def housekeeping(service: TenantService, *, once: bool = False) -> Answer:
    """Renew budgets, revoke rotated keys and deliver alerts until stopped. Needs admin access."""
    service.admin.require()
    work = Housekeeping(service.settings, service.registry)
    if not once:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default
        await work.run()
    answer: Answer = {"failed": await work.once(datetime.now(UTC))}
    if answer["failed"]:
        answer["error"] = {"code": "failed", "message": "Some steps failed. The log says why; run it again."}
    return answer
