"""The page of the gRPC API, made from the proto's own comments."""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, ServiceDescriptorProto

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "proto" / "voiceplane" / "v1"
PACKAGE = "voiceplane.v1"
# The field numbers of FileDescriptorProto and DescriptorProto by which SourceCodeInfo names a place.
_MESSAGES, _ENUMS, _SERVICES, _FIELDS, _NESTED, _METHODS, _VALUES, _SYNTAX = 4, 5, 6, 2, 3, 2, 2, 12
_SCALARS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in FieldDescriptorProto.Type.items()
    if name not in {"TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP"}
}
_NAMED_TYPES = {FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM}

Place = tuple[int, ...]


def descriptors(source: Path = SOURCE) -> list[FileDescriptorProto]:
    """The files of the API with their comments, as protoc reads them."""
    well_known = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set.pb"
        names = [path.name for path in sorted(source.glob("*.proto"))]
        flags = [f"-I{source}", f"-I{well_known}", f"--descriptor_set_out={out}", "--include_source_info"]
        if protoc.main(["protoc", *flags, *names]):
            raise RuntimeError(f"protoc cannot read {source}")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


class _Comments:
    """The comments of a file, by the place of what they describe."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._places = {tuple(each.path): each for each in file.source_code_info.location}

    def of(self, path: Place) -> str:
        """The comment above, and the one behind on the same line; without line breaks inside of a paragraph."""
        place = self._places.get(path)
        if place is None:
            return ""
        text = "\n".join(part for part in (place.leading_comments, place.trailing_comments) if part.strip())
        paragraphs = "\n".join(line.strip() for line in text.strip().splitlines()).split("\n\n")
        return "\n\n".join(" ".join(each.split()) for each in paragraphs)

    def head(self) -> str:
        """The comment at the top of the file."""
        return self.of((_SYNTAX,))


def _short(type_name: str) -> str:
    return type_name.removeprefix(".").removeprefix(f"{PACKAGE}.")


def _linked(type_name: str) -> str:
    """A type as Markdown; one of this API as a link to its section."""
    name = _short(type_name)
    return f"[`{name}`](#{name.lower()})" if type_name.startswith(f".{PACKAGE}.") else f"`{name}`"


def _cell(text: str) -> str:
    return text.replace("\n\n", "<br>").replace("|", "\\|")


def _type_of(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        return f"map of {_type_of(key, maps)} to {_type_of(value, maps)}"
    name = _linked(field.type_name) if field.type in _NAMED_TYPES else f"`{_SCALARS[field.type]}`"
    return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _service(service: ServiceDescriptorProto, comments: _Comments, path: Place) -> Iterator[str]:
    yield f"## Service {service.name}\n"
    yield from filter(None, [comments.of(path) and comments.of(path) + "\n"])
    for number, method in enumerate(service.method):
        sent = ("stream of " if method.client_streaming else "") + _linked(method.input_type)
        answer = ("stream of " if method.server_streaming else "") + _linked(method.output_type)
        yield f"### {method.name}\n"
        yield f"{sent} → {answer}\n"
        yield comments.of((*path, _METHODS, number)) + "\n"


def _message(message: DescriptorProto, comments: _Comments, path: Place, prefix: str = "") -> Iterator[str]:
    full = prefix + message.name
    maps = {f".{PACKAGE}.{full}.{each.name}": each for each in message.nested_type if each.options.map_entry}
    yield f"### {full}\n"
    yield (comments.of(path) + "\n") if comments.of(path) else ""
    if message.field:
        yield "| Field | Number | Type | Meaning |\n|---|---|---|---|"
        for number, field in enumerate(message.field):
            meaning = _cell(comments.of((*path, _FIELDS, number)))
            yield f"| `{field.name}` | {field.number} | {_type_of(field, maps)} | {meaning} |"
        yield ""
    else:
        yield "It has no fields.\n"
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, comments, (*path, _NESTED, number), f"{full}.")


def _enum(enum: EnumDescriptorProto, comments: _Comments, path: Place) -> Iterator[str]:
    yield f"### {enum.name}\n"
    yield (comments.of(path) + "\n") if comments.of(path) else ""
    yield "| Value | Number | Meaning |\n|---|---|---|"
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_cell(comments.of((*path, _VALUES, number)))} |"
    yield ""


def page(source: Path = SOURCE) -> str:
    """The page as Markdown."""
    lines = ["# gRPC API\n"]
    files = descriptors(source)
    everything = [(file, _Comments(file)) for file in files]
    for file, comments in everything:
        lines += [comments.head() + "\n"] if comments.head() else []
        for number, service in enumerate(file.service):
            lines += _service(service, comments, (_SERVICES, number))
    lines.append("## Messages\n")
    for file, comments in everything:
        for number, message in enumerate(file.message_type):
            lines += _message(message, comments, (_MESSAGES, number))
    lines.append("## Enums\n")
    for file, comments in everything:
        for number, enum in enumerate(file.enum_type):
            lines += _enum(enum, comments, (_ENUMS, number))
    return "\n".join(lines) + "\n"
