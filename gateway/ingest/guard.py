"""Step 2 of 7: the fence around other people's parsers: no log line and no exception of theirs comes out."""

from __future__ import annotations

import logging
import warnings
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from pydicom import config

from gateway.errors import CallerError, GatewayError, Unreadable, UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENT = ContextVar("silent", default=False)
_FOR_GOOD: list[AbstractContextManager[None]] = []


@contextmanager
def silence() -> Iterator[None]:
    """No warning and no log line leaves: pydicom's quote the values that they complain of.

    Value validation is off meanwhile: it would only warn. Holds for the whole process; a worker has one thread.
    Values stay bytes until somebody asks for them, so who asks a data set for values does it in here.
    """
    if _SILENT.get():  # one fence within another, as for every frame
        yield
        return
    token = _SILENT.set(True)
    log_level = logging.root.manager.disable
    validation = config.settings.reading_validation_mode
    logging.disable(logging.CRITICAL)
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = validation
        logging.disable(log_level)
        _SILENT.reset(token)


def silence_for_good() -> None:
    """For a process that does nothing but steps 2 to 4: to make it silent anew for each image costs 0.05 ms."""
    silent = silence()
    silent.__enter__()
    _FOR_GOOD.append(silent)  # a generator that nobody holds is closed


@contextmanager
def fence(detail: str, refusal: type[CallerError] = Unreadable) -> Iterator[None]:
    """Run a parser. Whatever it raises becomes ``refusal`` with our own words.

    MemoryError passes: the worker names it. A RecursionError is UnsafeFile.
    """
    try:
        with silence():
            yield
    except (GatewayError, MemoryError):
        raise
    except RecursionError:
        raise UnsafeFile("The file is nested too deeply") from None
    except Exception:  # noqa: BLE001 - a dozen codecs raise what they like, down to struct.error and KeyError
        raise refusal(detail) from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # pyo3's, of a decoder written in Rust; not importable by name
            raise refusal(detail) from None
        raise
