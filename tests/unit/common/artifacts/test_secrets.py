"""Credentials go where they belong, and nowhere else: redirects, other hosts, messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import FetchLimits, fetch
from voiceplane_common.artifacts.transport import BoundAuth
from voiceplane_common.artifacts.urls import redact, redact_text
from voiceplane_common.errors import VoiceplaneError

from tests.support import file_server
from tests.support.artifacts import write_tree
from tests.support.file_server import Served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.file_server import FileServer


def test_a_private_file_is_fetched_with_its_credentials_and_not_without(
    web: FileServer, cache_dir: Path, tmp_path: Path, quick: FetchLimits
) -> None:
    web.files["/private.onnx"] = Served(b"voice", token="t0ken")  # noqa: S106  # of this server
    url = f"{web.url}/private.onnx"
    sets = write_tree(tmp_path / "sets", {"voices/token": b"t0ken\n", "old/token": b"wrong"})
    for arguments in ({}, {"credentials": "old", "credentials_dir": sets}):
        with pytest.raises(VoiceplaneError) as caught:
            fetch(url, cache_dir=cache_dir, limits=quick, **arguments)  # type: ignore[arg-type]  # of several types
        assert (caught.value.reason, caught.value.field) == ("ACCESS_DENIED", "source.credentials")
        assert "wrong" not in caught.value.message
    assert fetch(url, cache_dir=cache_dir, credentials="voices", credentials_dir=sets).read_bytes() == b"voice"


def test_a_redirect_to_another_host_takes_no_credentials_with_it(
    web: FileServer, localhost: dict[str, str], cache_dir: Path, tmp_path: Path
) -> None:
    sets = write_tree(tmp_path / "sets", {"voices/token": b"t0ken"})
    with file_server.file_server(localhost) as cdn:
        cdn.files["/voice.onnx"] = Served(b"voice")
        web.files["/voice.onnx"] = Served(redirect=f"{cdn.url}/voice.onnx?signature=s")
        path = fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, credentials="voices", credentials_dir=sets)
        assert path.read_bytes() == b"voice"
        assert {asked.headers.get("authorization") for asked in web.asked} == {"Bearer t0ken"}
        assert {asked.headers.get("authorization") for asked in cdn.asked} == {None}


def test_a_redirect_to_plain_http_is_refused(web: FileServer, cache_dir: Path) -> None:
    with file_server.file_server() as plain:
        web.files["/voice.onnx"] = Served(redirect=f"{plain.url}/voice.onnx")
        with pytest.raises(VoiceplaneError) as caught:
            fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir)
        assert caught.value.reason == "UNSAFE_REDIRECT"
        assert plain.asked == []


def test_credentials_that_name_their_prefix_are_for_no_other_source(
    web: FileServer, cache_dir: Path, tmp_path: Path
) -> None:
    web.files |= {"/ours/voice": Served(b"voice"), "/theirs/voice": Served(b"voice")}
    sets = write_tree(tmp_path / "sets", {"voices/token": b"t", "voices/uri_prefix": f"{web.url}/ours".encode()})
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"{web.url}/theirs/voice", cache_dir=cache_dir, credentials="voices", credentials_dir=sets)
    assert caught.value.reason == "CREDENTIALS_ELSEWHERE"
    assert web.asked == []
    fetch(f"{web.url}/ours/voice", cache_dir=cache_dir, credentials="voices", credentials_dir=sets)
    assert web.asked[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "url",
    ["https://a.test:8443/x", "https://b.test/x", "http://a.test/x", "https://a.test/other", "https://a.test/v/../x",
     "https://a.test/v%2f..%2fx", "https://a.test/voices"],
)  # fmt: skip
def test_bound_headers_stay_below_their_prefix(url: str) -> None:
    auth = BoundAuth(prefixes=("https://a.test/v",), headers={"Authorization": "secret"})
    assert auth.headers_for(url) == {}
    assert auth.headers_for("https://A.test:443/v/x") == {"Authorization": "secret"}


def test_user_and_password_of_a_url_are_sent_and_not_shown(web: FileServer, cache_dir: Path) -> None:
    url = web.url.replace("https://", "https://user:s3cret@")
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"{url}/absent?X-Amz-Signature=s3cret", cache_dir=cache_dir)
    assert "s3cret" not in caught.value.message
    assert web.asked[0].headers["authorization"] == "Basic dXNlcjpzM2NyZXQ="


def test_what_is_secret_in_a_url_is_left_out() -> None:
    assert redact("https://u:p@host/a?sig=x&v=1#f") == "https://host/a?sig=…&v=…"
    assert redact_text("cannot\nread https://u:p@host/a?sig=x now") == "cannot read https://host/a?sig=… now"
    assert redact("package:voice/data") == "package:voice/data"


def test_an_untrusted_certificate_is_named_with_the_remedy(
    web: FileServer, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = file_server.certificates(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", other["ca_file"])
    with pytest.raises(VoiceplaneError) as caught:
        fetch(f"{web.url}/voice", cache_dir=cache_dir)
    assert caught.value.reason == "TLS_UNTRUSTED"
    assert "SSL_CERT_FILE" in caught.value.message


def test_a_bundle_adds_to_the_authorities(
    web: FileServer, localhost: dict[str, str], cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/voice"] = Served(b"voice")
    monkeypatch.setenv("SSL_CERT_FILE", file_server.certificates(tmp_path / "other")["ca_file"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", localhost["ca_file"])
    assert fetch(f"{web.url}/voice", cache_dir=cache_dir).read_bytes() == b"voice"
