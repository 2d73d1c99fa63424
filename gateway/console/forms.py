"""The console's forms: read in bounded memory, each with the token of its session."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from gateway.api.exchange import header
from gateway.api.problems import invalid
from gateway.errors import Forbidden, InvalidParameter, MalformedBody, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.sessions import Session

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_BYTES = 16 * 2**10
"""Of a form: the longest that fits the API's own bounds takes two thirds of it."""
MAX_FIELDS = 200
TOKEN = "csrf"  # noqa: S105 - the field's name

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in.

    Attributes:
        values: Name to the values under it, as they came.
    """

    values: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """The one value of this name without the blanks around it; empty if there is none.

        Raises:
            MalformedBody: There are several.
        """
        found = self.values.get(name, ())
        if len(found) > 1:
            raise MalformedBody("A field occurs twice")
        return found[0].strip() if found else ""

    def all(self, name: str) -> list[str]:
        """The values of a name that may occur several times."""
        return [value for value in self.values.get(name, ()) if value]

    def lines(self, name: str) -> list[str]:
        """The lines of a text that are not empty."""
        return [line.strip() for line in self.text(name).splitlines() if line.strip()]

    def numbers(self, name: str) -> dict[str, int]:
        """Lines of a name and a whole number: ``minute 100``.

        Raises:
            InvalidParameter: A line is something else, or a name stands twice.
        """
        found: dict[str, int] = {}
        for line in self.lines(name):
            said, _, number = line.partition(" ")
            if not number.strip().isdecimal() or len(number) > 12 or said in found:
                raise InvalidParameter("A line has a name and a number, such as: minute 100", parameter=name)
            found[said] = int(number)
        return found


async def read_form(request: Request, session: Session | None) -> Form:
    """Read the body to its end; admission has bounded it.

    Args:
        request: Its head was admitted.
        session: Whose token the form must hold; None where nobody is signed in yet.

    Raises:
        UnsupportedMediaType, MalformedBody: It is no form, or a broken one.
        Forbidden: The token is missing, or another session's.
    """
    if (header(request.scope, b"content-type") or "").split(";")[0].strip().lower() != MEDIA_TYPE:
        raise UnsupportedMediaType("A form is expected")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:  # not ASCII, not UTF-8 beneath, or too many fields
        raise MalformedBody("The form cannot be read") from None
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        values[name] = (*values.get(name, ()), value)
    form = Form(values)
    if session is not None:
        check_token(request, session, form.text(TOKEN))
    return form


def check_token(request: Request, session: Session, said: str) -> None:
    """A form must hold its session's token; a script may send it as a header.

    Raises:
        Forbidden: It is missing, or another session's.
    """
    token = header(request.scope, b"x-csrf-token") or said
    if not hmac.compare_digest(token.encode(), session.csrf.encode()):
        raise Forbidden("The form is not of this session: load the page again and repeat")


def fitting(model: type[Model], **values: object) -> Model:
    """The call's own model of these values: the console asks nothing that the API would refuse.

    Raises:
        InvalidParameter: They do not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error.errors()) from None


def expiry(days: str) -> str | None:
    """When something ends that lives so many days, as the API takes a time (RFC 3339); None is never.

    Raises:
        InvalidParameter: That is no number of days.
    """
    if not days.isdecimal() or len(days) > 4:
        raise InvalidParameter("Choose when it expires", parameter="days")
    return (datetime.now(UTC) + timedelta(days=int(days))).isoformat() if int(days) else None
