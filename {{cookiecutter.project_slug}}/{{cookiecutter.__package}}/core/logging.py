"""Logging: readable lines in development, JSON in production. No API key is ever logged."""

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger, Processor

log: FilteringBoundLogger = structlog.get_logger()
"""The logger of all modules."""


def set_up_logging(*, development: bool) -> None:
    """Send the records of structlog and of the standard library to stderr in the same format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if development:
        # rich's tracebacks would show local variables, keys among them
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=shared + renderers,
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # half the cost of the standard library's handlers
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    foreign = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
    named = [*shared, structlog.stdlib.add_logger_name]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=named, processors=foreign))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in ("runcycles", "httpx", "httpx2"):  # one line per call
        logging.getLogger(name).setLevel(logging.WARNING)
