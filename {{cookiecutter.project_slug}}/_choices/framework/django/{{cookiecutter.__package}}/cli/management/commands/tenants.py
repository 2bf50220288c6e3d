"""`tenants`: manage tenants and their budgets."""

from django.core.management.base import CommandParser

from ....tenants.service import TenantService
from ...commands import VerbsCommand


class Command(VerbsCommand):
    help = "Manage tenants and their budgets."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = self.verb("add", TenantService.add)
        add.add_argument("--name", required=True, help="Display name.")
        add.add_argument("--budget", required=True, metavar="USD", help="For example 5.00")
        add.add_argument("--overdraft", metavar="USD", help="Maximum debt.")

        self.verb("list", TenantService.list_all, of_tenant=False)

        fund = self.verb("fund", TenantService.fund)
        fund.add_argument("--credit", required=True, metavar="USD", help="For example 5.00")
        fund.add_argument("--reference", help="Credit once per reference, however often this runs.")

        reset = self.verb("reset", TenantService.reset, of_tenant=False)
        which = reset.add_mutually_exclusive_group(required=True)
        which.add_argument("tenant_id", metavar="ID", nargs="?")
        which.add_argument("--all", action="store_true", help="All active tenants.")
        reset.add_argument("--budget", required=True, metavar="USD", help="For example 5.00")
        reset.add_argument("--period", help="Reset once per tenant and period, for example 2026-12.")

        self.verb("suspend", TenantService.suspend)
        self.verb("resume", TenantService.resume)

        rotate = self.verb("rotate", TenantService.rotate)
        rotate.add_argument("--now", action="store_true", help="Revoke the old key at once.")

        close = self.verb("close", TenantService.close)
        close.add_argument("--force", action="store_true", help="Close even if calls are in flight.")

        self.verb("link", TenantService.link)
