"""The command line."""

from argparse import ArgumentParser

from ..core.about import TITLE
from ..core.config import Settings
from . import console, migrate, server, verbs
from .output import command_line, program


@command_line()
def main() -> None:
    """Run the command of `sys.argv`."""
    parser = ArgumentParser(prog=program(), description=TITLE)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (words, its_verbs) in verbs.COMMANDS.items():
        verbs.add_verbs(commands.add_parser(name, help=words, description=words), its_verbs)
    for name, work in (("migrate", migrate.upgrade), ("check", migrate.check), ("serve", serve)):
        commands.add_parser(name, help=work.__doc__, description=work.__doc__).set_defaults(work=work)
    commands.choices["serve"].add_argument("--reload", action="store_true", help="Restart when code changes.")
    options = vars(parser.parse_args())
    options.pop("work", console.run)(**options)


def serve(reload: bool) -> None:
    """Serve the app, configured by the environment: HOST, PORT, WORKERS and others."""
    server.serve(Settings(), "main:app", reload=reload)
