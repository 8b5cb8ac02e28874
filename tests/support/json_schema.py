"""The part of JSON Schema that our OpenAPI document uses: what is wrong with a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {
    "$ref", "type", "description", "required", "properties", "additionalProperties", "items", "enum", "default",
    "minimum", "maximum", "pattern", "contentMediaType",
}  # fmt: skip


def refs(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from refs(each)
    elif isinstance(value, list):
        for each in value:
            yield from refs(each)


def resolve(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    """What a reference names; KeyError if it names nothing."""
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def problems(value: Any, schema: dict[str, Any], *, root: dict[str, Any], at: str = "") -> list[str]:
    """What is wrong with a value; a keyword that is not checked here is a problem, too."""
    if "$ref" in schema:
        return problems(value, resolve(schema["$ref"], root), root=root, at=at)
    found = [f"{at}: unknown keyword {name}" for name in schema.keys() - KNOWN]
    wanted = schema.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if names and not any(_is(value, name) for name in names):
        return [*found, f"{at}: {value!r} is no {names}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if isinstance(value, dict):
        found += [f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, each in value.items():
            inner = known.get(name, rest)
            if isinstance(inner, dict):
                found += problems(each, inner, root=root, at=f"{at}.{name}")
            elif not inner:
                found.append(f"{at}: {name} is not known")
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            found += problems(each, schema["items"], root=root, at=f"{at}[{number}]")
    return found


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and not (name in {"integer", "number"} and isinstance(value, bool))
