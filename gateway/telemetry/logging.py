"""Beside all steps: one way out for every log line, our own and the libraries', as JSON with the correlation ID.

Libraries put values into their messages (asyncio prints a failed task with its exception, pydicom quotes elements). So
of a foreign line only the template is shown, numbers filled in, and only from the libraries listed here; of the others
it is said that they logged something, and where.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from structlog.contextvars import merge_contextvars
from structlog.processors import TimeStamper
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

from gateway.telemetry.redact import places_only, redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from structlog.typing import EventDict, Processor, WrappedLogger

    from gateway.settings import LogSettings

SHOWN_LIBRARIES = ("uvicorn", "alembic", "asgi_correlation_id")
WITHHELD = "\N{HORIZONTAL ELLIPSIS}"

# uvicorn configures these itself before it loads the application; its access line holds the raw path and query.
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.asgi")
_SILENT = ("python_multipart", "PIL", "pydicom")


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Route structlog and the standard library's loggers to one handler. A second call replaces the first.

    Args:
        settings: Level and format.
        stream: Where to; standard output unless given.
    """
    shared: list[Processor] = [
        merge_contextvars,
        add_log_level,
        add_logger_name,
        TimeStamper(fmt="iso", utc=True),
        places_only,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, redact, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # so that a second call reaches loggers that are in use
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[_template_only, *shared, redact],
            processors=[ProcessorFormatter.remove_processors_meta, _renderer(settings)],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level)
    for name in _UVICORN:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel(logging.INFO)  # below it, uvicorn prints addresses and paths
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False  # uvicorn asks whether there is a handler, and formats nothing if not
    for name in _SILENT:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [logging.NullHandler()], False
    for name in ("asyncio", "aiosqlite", "sqlalchemy", "alembic", "grpc", "asgi_correlation_id"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A line for each malformed X-Request-ID would let a stranger fill the log.
    logging.getLogger("asgi_correlation_id").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a line that cannot be written is lost, not printed raw on standard error


def _template_only(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["event"] = _template(record, event.pop("positional_args", None))
    return event


def _template(record: logging.LogRecord, args: Any) -> str:
    """What is shown of a foreign line: the template with its numbers, or that there was one."""
    if record.name.split(".")[0] not in SHOWN_LIBRARIES or not isinstance(record.msg, str):
        return f"a line withheld, from {record.module}:{record.lineno}"
    if "\n" in record.msg:  # a traceback as text, with its message
        return f"{record.msg.splitlines()[0]} (the rest withheld, from {record.module}:{record.lineno})"
    if not args:
        return record.msg
    try:
        filled: str = record.msg % _numbers(args)
    except (TypeError, ValueError, KeyError):
        return record.msg
    return filled


def _numbers(args: tuple[object, ...] | Mapping[str, object]) -> Any:
    if isinstance(args, tuple):
        return tuple(_number(value) for value in args)
    return {key: _number(value) for key, value in args.items()}


def _number(value: object) -> object:
    return value if isinstance(value, int | float) else _Withheld()


class _Withheld:
    def __str__(self) -> str:
        return WITHHELD

    __repr__ = __str__


def _renderer(settings: LogSettings) -> Processor:
    if settings.format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    return _json


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {name: event.pop(name, None) for name in ("timestamp", "level", "event")}  # what an eye looks for
    line: bytes = orjson.dumps({**first, **event})
    return line.decode()
