"""`tenants`: keeping tenants and their budgets."""

from django.core.management.base import CommandParser

from ....tenants.links import show_link
from ...commands import VerbsCommand

AGAIN = "Even though a run cut over 23 h ago may have done it."


class Command(VerbsCommand):
    help = "Tenants and their budgets."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = self.verb(
            "add",
            "Onboard a tenant. Interrupted, or in doubt: the same again.",
            lambda desk, given: desk.add(given["id"], given["name"], given["budget"], given["overdraft"]),
        )
        add.add_argument("--name", required=True, help="What people call it.")
        add.add_argument("--budget", required=True, metavar="USD", help="Like 5.00")
        add.add_argument("--overdraft", metavar="USD", help="How far it may go into debt.")

        self.verb(
            "list", "All tenants, and whose Cycles key expires soon.", lambda desk, _: desk.listing(), of_tenant=False
        )

        fund = self.verb(
            "fund",
            "Add to a tenant's budget.",
            lambda desk, given: desk.fund(given["id"], given["credit"], given["reference"], again=given["again"]),
        )
        fund.add_argument("--credit", required=True, metavar="USD", help="Like 5.00")
        fund.add_argument("--reference", help="Credit it once, however often this runs.")
        fund.add_argument("--again", action="store_true", help=AGAIN)

        reset = self.verb(
            "reset",
            "Begin anew: this budget, nothing spent, live holds kept.",
            lambda desk, given: desk.reset(given["id"], given["budget"], given["period"], again=given["again"]),
            of_tenant=False,
        )
        which = reset.add_mutually_exclusive_group(required=True)
        which.add_argument("id", metavar="ID", nargs="?")
        which.add_argument("--all", action="store_true", help="All active tenants.")
        reset.add_argument("--budget", required=True, metavar="USD", help="Like 5.00")
        reset.add_argument("--period", help="Once for each tenant and period, like 2026-12.")
        reset.add_argument("--again", action="store_true", help=AGAIN)

        self.verb(
            "suspend",
            "Refuse a tenant's callers for now; calls in flight still settle.",
            lambda desk, given: desk.suspend(given["id"]),
        )

        self.verb("resume", "Serve a suspended tenant again.", lambda desk, given: desk.resume(given["id"]))

        rotate = self.verb(
            "rotate",
            "Replace a tenant's Cycles key.",
            lambda desk, given: desk.rotate(given["id"], now=given["now"]),
        )
        rotate.add_argument("--now", action="store_true", help="Revoke the old key at once.")

        close = self.verb(
            "close",
            "Refuse a tenant's callers for good.",
            lambda desk, given: desk.close(given["id"], force=given["force"]),
        )
        close.add_argument("--force", action="store_true", help="Even if calls in flight cannot settle.")

        self.verb(
            "link",
            "A link by which a tenant's people sign in to its page: good once, for 15 minutes.",
            lambda desk, given: show_link(desk.settings, desk.registry, given["id"]),
        )

        self.verb(
            "rewrap",
            "Encrypt all Cycles keys with the newest TENANT_KEYS_SECRET, so that older ones can be dropped.",
            lambda desk, _: desk.rewrap(),
            of_tenant=False,
        )
