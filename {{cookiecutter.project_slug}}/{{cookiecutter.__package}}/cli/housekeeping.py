"""`housekeeping`: what has to happen over time, where the serving app has no admin access."""

import signal
import sys
from datetime import UTC, datetime

from ..core.problems import Problem
from ..tenants.service import Output, TenantService
from ..web.housekeeping import Housekeeping


async def housekeeping(service: TenantService, *, once: bool = False) -> Output:
    """Renew budgets, revoke rotated keys and deliver alerts until stopped. Needs admin access."""
    service.admin.require()
    work = Housekeeping(service.settings, service.registry)
    if not once:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the first process of a container has no default
        await work.run()
    if failed := await work.once(datetime.now(UTC)):
        raise Problem("housekeeping_failed", f"Failed: {', '.join(failed)}. The log says why. Run it again.")
    return {"note": "done"}
