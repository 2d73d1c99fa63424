"""``cordon api``: the reference of the HTTP API, or its description as OpenAPI, from the application itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import SecretStr

from gateway.settings import AdmissionSettings, AuditSettings, DeidSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Described = dict[str, Any]

_HEAD = """\
# The HTTP API

Made by `make docs` from the application's own OpenAPI description, which `cordon api --openapi` prints. How to call it:
[clients.md](clients.md); who may: [admission.md](admission.md).

* **Credentials**: an API key or a token as `Authorization: Bearer …`, or an API key as `X-API-Key`. The scope that a
  route needs is in the table; `any` is any good credential, `open` is none at all.
* **Errors** are `application/problem+json` (RFC 9457); `instance` is the request's ID. Their names below are the last
  part of `type`. None repeats a value of the request.
* **Every answer** has `X-Request-ID` (the one that was sent, if it is well-formed), and of an admitted caller
  `RateLimit` and `RateLimit-Policy`; 429 and 503 have `Retry-After`.
* **Any route** may answer other problems than are listed, in the same form: a wrong method is 405, a defect 500.
"""


def api(*, openapi: Annotated[bool, typer.Option("--openapi", help="OpenAPI 3.1 as JSON instead")] = False) -> None:
    """Print the reference of the HTTP API as Markdown."""
    described = description()
    typer.echo(json.dumps(described, indent=2) if openapi else reference(described), nl=openapi)


def description() -> Described:
    """OpenAPI 3.1 of an application with these settings, whose secrets open nothing. It is not started."""
    from gateway.app import create_app  # noqa: PLC0415 - the heavy imports: only where they are used

    settings = Settings(
        admission=AdmissionSettings(key_pepper=SecretStr("p" * 32)),
        deid=DeidSettings(key=SecretStr("d" * 32)),
        audit=AuditSettings(chain_key=SecretStr("c" * 32)),
    )
    described: Described = create_app(settings).openapi()
    return described


def reference(described: Described) -> str:
    """The whole document."""
    routes = [
        (f"{method.upper()} {path}", operation)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    parts = [_HEAD, "## Routes\n", _table(("route", "scope", "what"), (_line(*route) for route in routes))]
    parts += [_route(name, operation) for name, operation in routes]
    parts.append("## Schemas\n\nA field with * is required.\n")
    parts += [_schema(name, schema) for name, schema in described["components"]["schemas"].items()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _line(name: str, operation: Described) -> tuple[str, ...]:
    return f"[`{name}`](#{_anchor(name)})", _scope(operation), operation["summary"]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _scope(operation: Described) -> str:
    if not operation["security"]:
        return "open"
    return str(operation["description"].rpartition("Scope: ")[2])


def _route(name: str, operation: Described) -> str:
    told = operation.get("description", "").partition("Scope: ")[0].strip()
    parts = [f"## {name}\n", f"{operation['summary']}. {told}".strip() + "\n", f"Scope: {_scope(operation)}\n"]
    if parameters := operation.get("parameters"):
        rows = ((f"`{each['name']}`{_star(each)}", each["in"], *_of(each)) for each in parameters)
        parts.append(_table(("parameter", "in", "type", "what"), rows))
    if body := operation.get("requestBody"):
        parts.append(f"**Body.** {body.get('description', '')}\n".replace(" \n", "\n"))
        parts.append(_table(("media type", "schema"), _contents(body["content"])))
    good = {status: told for status, told in operation["responses"].items() if status < "400"}
    parts.append(_table(("answer", "media type", "schema", "what"), _answers(good)))
    bad = {status: told for status, told in operation["responses"].items() if status >= "400"}
    if found := list(_errors(bad)):
        parts.append(_table(("error", "names"), found))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _answers(answers: Mapping[str, Described]) -> Iterator[tuple[str, ...]]:
    for status, told in answers.items():
        headers = "".join(f"; header `{name}`" for name in told.get("headers", {}))
        what = told["description"].removeprefix("Successful Response") + headers
        for media_type, schema in _contents(told.get("content", {})) or [("—", "—")]:
            yield status, media_type, schema, what.removeprefix("; ")


def _errors(answers: Mapping[str, Described]) -> Iterator[tuple[str, ...]]:
    for status, told in sorted(answers.items()):
        names = [
            f"`{name}`: {example['value'].get('title') or example['value'].get('error_description', '')}"
            for content in told.get("content", {}).values()
            for name, example in content.get("examples", {}).items()
        ]
        yield status, "; ".join(names) or told["description"]


def _contents(content: Mapping[str, Described]) -> list[tuple[str, str]]:
    return [(f"`{media_type}`", _type(told.get("schema", {}))) for media_type, told in content.items()]


def _schema(name: str, schema: Described) -> str:
    told = " ".join(schema.get("description", "").split())
    wanted = schema.get("required", [])
    rows = (
        (f"`{field}`{'*' if field in wanted else ''}", *_of(each))
        for field, each in schema.get("properties", {}).items()
    )
    parts = [f"### {name}\n", *([told + "\n"] if told else [])]
    parts.append(_table(("field", "type", "what"), rows) if "properties" in schema else _type(schema) + "\n")
    return "\n".join(parts)


def _of(field: Described) -> tuple[str, str]:
    schema = field.get("schema", field)
    told = " ".join(str(field.get("description") or schema.get("description") or "").split())
    default = schema.get("default")
    if default is not None:
        told = f"{told} Default: `{json.dumps(default)}`".strip()
    return _type(schema), told


_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "{} or more characters",
    "maxLength": "{} characters at most",
    "minItems": "{} or more",
    "maxItems": "{} at most",
    "pattern": "`{}`",
}


def _type(schema: Described) -> str:
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        kind = f"array of {_type(schema.get('items', {}))}"
    elif kind == "object" and schema.get("properties"):
        kind = "object: " + ", ".join(f"`{name}`" for name in schema["properties"])
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind = f"object of {_type(schema['additionalProperties'])}"
    elif "format" in schema:
        kind = str(schema["format"])
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    return ", ".join([kind, *bounds])


def _star(parameter: Described) -> str:
    return "*" if parameter.get("required") else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
