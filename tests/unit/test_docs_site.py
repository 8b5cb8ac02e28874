"""The pages of the documentation that are made from code, and the links that lead out of docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from voiceplane_orchestrator.transports.http.openapi import document
from voiceplane_proto.v1 import tts_pb2

from scripts.docs_site import grpc_page, hooks, http_page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def grpc() -> str:
    return grpc_page.page()


def test_the_grpc_page_names_every_method_message_field_and_value(grpc: str) -> None:
    file = tts_pb2.DESCRIPTOR
    methods = {method.name for service in file.services_by_name.values() for method in service.methods}
    names = methods | set(file.message_types_by_name) | set(file.enum_types_by_name)
    assert names <= set(re.findall(r"^### ([\w.]+)$", grpc, re.MULTILINE))
    fields = {field.name for message in file.message_types_by_name.values() for field in message.fields}
    values = {value.name for enum in file.enum_types_by_name.values() for value in enum.values}
    assert fields | values <= set(re.findall(r"^\| `(\w+)` \|", grpc, re.MULTILINE))


def test_the_grpc_page_has_the_comments_of_the_proto(grpc: str) -> None:
    assert "Idempotent: an unknown session answers existed = false." in grpc
    assert "| `sample_rate_hz` | 4 | `uint32` |" in grpc


def test_the_http_page_has_every_endpoint_and_schema() -> None:
    page, read = http_page.page(), document()
    assert all(f"{method.upper()} {path}`" in page for path, item in read["paths"].items() for method in item)
    assert set(read["components"]["schemas"]) <= set(re.findall(r"^## (\w+)$", page, re.MULTILINE))


def test_a_link_to_a_page_leads_to_that_page() -> None:
    text = "[a](../charts/voiceplane/README.md) [b](explanation/design.md#the-frame)"
    assert hooks.relinked(text, source="docs/index.md", page="index.md") == (
        "[a](reference/chart.md) [b](explanation/design.md#the-frame)"
    )


def test_a_page_from_elsewhere_links_as_from_its_place_in_the_site() -> None:
    text = "[a](../../docs/explanation/design.md)"
    source = "charts/voiceplane/README.md"
    assert hooks.relinked(text, source=source, page="reference/chart.md") == "[a](../explanation/design.md)"


def test_a_link_to_a_file_that_is_no_page_leads_to_the_repository() -> None:
    text = "[a](../../examples/voicepacks)\n```\n[b](../../examples/voicepacks)\n```\n"
    told = hooks.relinked(text, source="docs/how-to/a.md", page="how-to/a.md", repository="https://example.test/x")
    assert told.startswith("[a](https://example.test/x/tree/main/examples/voicepacks)\n")
    assert "[b](../../examples/voicepacks)" in told
    assert hooks.relinked("[a](../../examples)", source="docs/how-to/a.md", page="how-to/a.md") == "a"


def test_every_link_in_markdown_outside_of_the_site_leads_to_a_file() -> None:
    files = [ROOT / "README.md", *ROOT.glob("*/*/README.md"), *ROOT.glob("*.md")]
    missing = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in files
        for target in re.findall(r"\]\(([^)#\s]+)", file.read_text(encoding="utf-8"))
        if "://" not in target and not (file.parent / target).exists()
    ]
    assert missing == []
