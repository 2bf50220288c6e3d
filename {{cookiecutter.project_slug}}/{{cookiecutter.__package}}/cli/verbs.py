"""All commands and their verbs, like `tenants add`. A verb's options are the parameters of its function."""

import inspect
from argparse import ArgumentParser
from collections.abc import Mapping

from ..core.problems import Problem
from ..tenants.checks import check_period
from ..tenants.service import Output, TenantService, Verb
from . import budgets, doctor, housekeeping, keys, operators


async def reset(
    service: TenantService, tenant_id: str | None = None, *, budget: str, period: str | None = None, all_: bool = False
) -> Output:
    """Set the budget and set spent to 0, of one tenant or of all active ones. Keeps live holds."""
    if all_ == (tenant_id is not None):
        raise Problem("usage", "Give either an ID or --all.")
    if period is not None:
        check_period(period)
    return await service.reset(tenant_id, budget, period)


COMMANDS: dict[str, tuple[str, Mapping[str, Verb]]] = {
    "tenants": (
        "Manage tenants and their budgets.",
        {
            "add": TenantService.add,
            "update": TenantService.update,
            "list": TenantService.list_all,
            "fund": TenantService.fund,
            "reset": reset,
            "suspend": TenantService.suspend,
            "resume": TenantService.resume,
            "observe": TenantService.observe,
            "enforce": TenantService.enforce,
            "report": TenantService.report,
            "rotate": TenantService.rotate,
            "close": TenantService.close,
            "link": TenantService.link,
            "sign-out": TenantService.sign_out,
        },
    ),
    "budgets": (
        "Manage the budgets of a tenant's end users and agents.",
        {"set": budgets.set_budget, "list": budgets.list_budgets},
    ),
    **keys.COMMANDS,
    "operators": (
        "Manage the operators, who use the dashboard.",
        {"add": operators.add_operator, "list": operators.list_operators, "remove": operators.remove_operator},
    ),
    "housekeeping": ("Renew budgets, revoke rotated keys, deliver alerts.", {"": housekeeping.housekeeping}),
    "doctor": ("Find what keeps the service from working.", {"": doctor.report}),
}
"""The help and the verbs of each command. Some have one without a name."""

ARGUMENTS = {"tenant_id": "ID", "key_id": "KEY_ID", "operator": "NAME"}
"""Parameters that are given by position, with their names in the help."""
OPTIONS = {
    "name": "Display name.",
    "budget": "USD, for example 5.00",
    "end_user": "The `end_user` of requests.",
    "agent": "The agent that a route names, like summarizer.",
    "every": "Renew the budget every month, week or day; none: never.",
    "timezone": "Where the period begins at midnight, for example Europe/Berlin.",
    "alert_url": "Also send this tenant's alerts to these apprise URLs, separated by commas; none: to no others.",
    "once": "Run every step once, for cron.",
    "send_test_alert": "Send an alert to each address of ALERT_URLS.",
    "overdraft": "Maximum debt in USD.",
    "credit": "USD, for example 5.00",
    "reference": "Credit once per reference, however often this runs.",
    "period": "Reset once per tenant and period, for example 2026-12.",
    "all_": "All active tenants.",
    "now": "Revoke the old key at once.",
    "force": "Close even if calls are in flight.",
    "replace": "Replace the password of an existing operator, which ends their sessions.",
    "password_stdin": "Read the password from stdin.",
}


def add_verbs(parser: ArgumentParser, verbs: Mapping[str, Verb]) -> None:
    """Add a command's verbs to its parser, with their options. The first line of a docstring is the help."""
    if "" in verbs:
        _add_options(parser, verbs[""])
        return
    found = parser.add_subparsers(metavar="VERB", required=True)
    for name, verb in verbs.items():
        words = (inspect.getdoc(verb) or "").partition("\n")[0]
        _add_options(found.add_parser(name, help=words, description=words), verb)


def _add_options(parser: ArgumentParser, verb: Verb) -> None:
    parser.set_defaults(verb=verb)
    parser.add_argument("--json", action="store_true", dest="as_json", help="Write one JSON object to stdout.")
    for name, parameter in inspect.signature(verb).parameters.items():
        is_required = parameter.default is parameter.empty
        flag = f"--{name.strip('_').replace('_', '-')}"
        if name in ARGUMENTS:
            parser.add_argument(name, metavar=ARGUMENTS[name], nargs=None if is_required else "?")
        elif parameter.default is False:
            parser.add_argument(flag, dest=name, action="store_true", help=OPTIONS[name])
        elif name in OPTIONS:
            parser.add_argument(flag, default=parameter.default, required=is_required, help=OPTIONS[name])
