"""The page of the HTTP API, made from the OpenAPI document that the orchestrator serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voiceplane_orchestrator.transports.http.openapi import document

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# HTTP API

The orchestrator serves its OpenAPI document at `/openapi.json`; this page is made from it. Every endpoint needs an API
key (`Authorization: Bearer KEY`), unless the page says otherwise or the server has no keys.
"""


def _linked(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link where it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_linked(schema['items'])}"
    return str(kind)


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        required = "yes" if name in schema.get("required", ()) else ""
        bounds = f" {field['minimum']} to {field['maximum']}." if "minimum" in field else ""
        default = f" Default: `{field['default']}`." if field.get("default") not in (None, "") else ""
        meaning = f"{field.get('description', '')}{bounds}{default}".strip()
        yield f"| `{prefix}{name}` | {_linked(field)} | {required} | {meaning} |"
        yield from _fields(field, f"{prefix}{name}.")
        if isinstance(field.get("items"), dict):
            yield from _fields(field["items"], f"{prefix}{name}[].")


def _table(schema: dict[str, Any]) -> Iterator[str]:
    yield "| Field | Type | Always there | Meaning |\n|---|---|---|---|"
    yield from _fields(schema)
    yield ""


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## {operation['summary']}\n"
    yield f"`{method.upper()} {path}`{', without a key' if operation.get('security') == [] else ''}\n"
    if "description" in operation:
        yield f"{operation['description']}\n"
    for parameter in operation.get("parameters", ()):
        yield f"- `{parameter['name']}` ({_linked(parameter['schema'])}): {parameter['description']}"
    yield ""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"Body: {_linked(media['schema'])}\n"
    for status, response in operation["responses"].items():
        if "$ref" in response:
            continue
        for kind, media in response.get("content", {"": {}}).items():
            suffix = f" (`{kind}`)" if kind else ""
            yield f"{status}{suffix}: {response['description']}\n"
            schema = media.get("schema", {})
            if schema.get("properties"):
                yield from _table(schema)
            elif "$ref" in schema:
                yield f"{_linked(schema)}\n"


def page() -> str:
    """The page as Markdown."""
    read = document()
    lines = [INTRODUCTION]
    for path, item in read["paths"].items():
        for method, operation in item.items():
            lines += _operation(method, path, operation)
    lines.append("## Errors\n\nEvery other status has a body of the type [Error](#error).\n")
    for name, schema in read["components"]["schemas"].items():
        lines += [f"## {name}\n", *_table(schema)]
    return "\n".join(lines) + "\n"
