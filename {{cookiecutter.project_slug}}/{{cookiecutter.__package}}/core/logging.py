"""Logging: lines for people in development, JSON in production. Nothing that is logged holds a key."""

import logging
import sys

import structlog


class _Stderr(structlog.WriteLogger):
    """Our own lines go straight out: by the standard library's handlers each costs twice as much."""

    def __init__(self, name: str = "") -> None:
        super().__init__(sys.stderr)
        self.name = name


def set_up_logging(*, development: bool) -> None:
    """Send structlog's and the standard library's records to stderr in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if development:
        # rich's tracebacks show local variables, and among them keys
        plain = structlog.dev.plain_traceback
        final = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=shared + final,
        logger_factory=_Stderr,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    theirs = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=theirs))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("runcycles", "httpx", "httpx2"):  # a line for each call
        logging.getLogger(name).setLevel(logging.WARNING)
