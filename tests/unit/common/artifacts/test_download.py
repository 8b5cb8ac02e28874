"""Downloads over HTTPS: whole, in pieces, resumed, checked, bounded; a web server on loopback counts the bytes."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.artifacts import FetchLimits, FetchProgress, fetch, find
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import left_in
from tests.support.file_server import Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.file_server import FileServer

BODY = random.Random(1).randbytes(1_050_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def refused(call: Callable[[], Path]) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value


def test_a_file_comes_in_pieces_with_progress_and_is_not_fetched_again(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    reports: list[FetchProgress] = []
    url = f"{web.url}/voice.onnx?v=1"
    path = fetch(url, cache_dir=cache_dir, limits=quick, progress=reports.append)
    assert (path.name, path.read_bytes()) == ("voice.onnx", BODY)
    assert web.sent_bytes == len(BODY)
    assert len({asked.headers.get("range") for asked in web.asked if asked.method == "GET"}) == 11
    assert [report.done_bytes for report in reports] == sorted(report.done_bytes for report in reports)
    assert (reports[0].done_bytes, reports[0].total_bytes) == (0, len(BODY))
    assert (reports[-1].done_bytes, reports[-1].total_bytes) == (len(BODY), len(BODY))
    web.asked.clear()
    assert fetch(url, cache_dir=cache_dir) == path
    assert web.paths == ["HEAD /voice.onnx?v=1"]
    assert not [name for name in left_in(cache_dir) if name.startswith("partial")]


def test_another_source_of_the_same_content_shares_its_bytes_on_the_disk(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files |= {"/one.onnx": Served(BODY), "/two.onnx": Served(BODY)}
    one, two = (fetch(f"{web.url}/{name}.onnx", cache_dir=cache_dir, limits=quick) for name in ("one", "two"))
    assert (one.name, two.name) == ("one.onnx", "two.onnx")
    assert one.stat().st_ino == two.stat().st_ino
    assert one.stat().st_mode & 0o222 == 0


def test_a_known_digest_is_found_without_a_request(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    url = f"{web.url}/voice.onnx"
    assert find(url, sha256=SHA256, cache_dir=cache_dir) is None
    path = fetch(url, sha256=SHA256, cache_dir=cache_dir, limits=quick)
    web.asked.clear()
    assert fetch(url, sha256=SHA256, cache_dir=cache_dir) == path == find(url, sha256=SHA256, cache_dir=cache_dir)
    assert web.asked == []


def test_another_digest_than_asked_for_is_refused_with_both(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    error = refused(lambda: fetch(f"{web.url}/voice.onnx", sha256="0" * 64, cache_dir=cache_dir, limits=quick))
    assert (error.reason, error.field) == ("DIGEST_MISMATCH", "source.sha256")
    assert SHA256 in error.message
    assert find(f"{web.url}/voice.onnx", cache_dir=cache_dir) is None


def test_a_changed_file_is_fetched_and_the_old_one_stays(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    old = fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick)
    web.files["/voice.onnx"] = Served(b"new")
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == b"new"
    assert old.read_bytes() == BODY


def test_while_a_source_is_away_what_it_gave_last_is_used(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    url = f"{web.url}/voice.onnx"
    path = fetch(url, cache_dir=cache_dir, limits=quick)
    web.dynamic = lambda _: (503, {}, b"")
    assert fetch(url, cache_dir=cache_dir, limits=quick) == path == find(url, cache_dir=cache_dir)
    web.dynamic = lambda _: (403, {}, b"")
    assert refused(lambda: fetch(url, cache_dir=cache_dir, limits=quick)).reason == "ACCESS_DENIED"


def test_offline_no_source_is_asked(
    web: FileServer, cache_dir: Path, quick: FetchLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files |= {"/voice.onnx": Served(BODY), "/other.onnx": Served(b"other")}
    path = fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick)
    web.asked.clear()
    monkeypatch.setenv("VOICEPLANE_OFFLINE", "1")
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir) == path
    assert refused(lambda: fetch(f"{web.url}/other.onnx", cache_dir=cache_dir)).reason == "SOURCE_OFFLINE"
    assert web.asked == []


def test_a_cut_is_gone_on_from_where_it_was(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    served = web.files["/voice.onnx"] = Served(BODY, cut_after=len(BODY) // 2)
    path = fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick)
    assert path.read_bytes() == BODY
    assert served.sent <= 1.05 * len(BODY)


def test_the_next_fetch_goes_on_where_a_failed_one_ended(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    served = web.files["/voice.onnx"] = Served(BODY, cut_after=len(BODY) // 2)
    url = f"{web.url}/voice.onnx"
    hasty = replace(quick, attempts=1, connections=1)
    error = refused(lambda: fetch(url, cache_dir=cache_dir, limits=hasty))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "FETCH_FAILED")
    assert error.retry_after_ms
    reports: list[FetchProgress] = []
    path = fetch(url, cache_dir=cache_dir, limits=quick, progress=reports.append)
    assert path.read_bytes() == BODY
    assert served.sent <= 1.05 * len(BODY)
    assert reports[1].done_bytes > 0.4 * len(BODY)


def test_a_file_that_changed_since_the_cut_begins_again(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY, cut_after=len(BODY) // 2)
    hasty = replace(quick, attempts=1)
    refused(lambda: fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=hasty))
    web.files["/voice.onnx"] = Served(BODY[::-1])
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY[::-1]


@pytest.mark.parametrize("ranges", [True, False])
def test_failures_of_the_moment_are_tried_again(
    ranges: bool, web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files["/voice.onnx"] = Served(BODY, statuses=[503, 500], ranges=ranges)
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY


def test_tries_are_bounded(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY, statuses=[500] * 100)
    error = refused(lambda: fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick))
    assert error.reason == "FETCH_FAILED"
    assert "answers 500" in error.message
    assert sum(asked.method == "GET" for asked in web.asked) == quick.attempts


@pytest.mark.parametrize("cut", [None, 500_000])
def test_a_server_without_ranges_sends_the_file_whole(
    cut: int | None, web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files["/voice.onnx"] = Served(BODY, ranges=False, cut_after=cut)
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY


def test_a_server_that_tells_neither_size_nor_tag_is_asked_each_time(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    web.files["/voice.onnx"] = Served(BODY, length=False, tag="", ranges=False)
    for _ in range(2):
        assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY
    assert web.sent_bytes == 2 * len(BODY)


def test_a_server_that_knows_no_head_is_asked_otherwise(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY, head=False)
    path = fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick)
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick) == path
    assert web.sent_bytes <= len(BODY) + 2


def test_a_slow_source_has_time_as_long_as_bytes_come(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files["/voice.onnx"] = Served(BODY[:400_000], bytes_per_s=200_000)
    limits = replace(quick, stall_s=1.0, connections=1)
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=limits).read_bytes() == BODY[:400_000]


def test_a_source_that_stalls_is_given_up_and_gone_on_with_later(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    served = web.files["/voice.onnx"] = Served(BODY, stall_after=len(BODY) // 2)
    limits = replace(quick, stall_s=1.0, attempts=100)
    error = refused(lambda: fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=limits))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "FETCH_STALLED")
    served.stall_after = None
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY
    assert served.sent <= 1.2 * len(BODY)


def test_a_cancelled_fetch_ends_within_a_second_and_keeps_what_came(
    web: FileServer, cache_dir: Path, quick: FetchLimits
) -> None:
    served = web.files["/voice.onnx"] = Served(BODY, stall_after=len(BODY) // 2)
    cancelled = threading.Event()
    ended: list[float] = []

    def progress(now: FetchProgress) -> None:
        if now.done_bytes > len(BODY) // 3 and not cancelled.is_set():
            ended.append(time.monotonic())
            cancelled.set()

    error = refused(
        lambda: fetch(
            f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick, progress=progress, cancelled=cancelled
        )
    )
    assert time.monotonic() - ended[0] < 1.5
    assert (error.code, error.reason) == (grpc.StatusCode.CANCELLED, "FETCH_CANCELLED")
    served.stall_after = None
    assert fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick).read_bytes() == BODY
    assert served.sent <= 1.3 * len(BODY)


def test_a_file_that_is_not_there_is_named(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    error = refused(lambda: fetch(f"{web.url}/absent", cache_dir=cache_dir, limits=quick))
    assert (error.reason, error.field) == ("ARTIFACT_MISSING", "source.uri")
    assert f"{web.url}/absent" in error.message


def test_a_server_that_is_not_there_is_unavailable(cache_dir: Path, quick: FetchLimits) -> None:
    error = refused(lambda: fetch("https://127.0.0.1:9/voice.onnx", cache_dir=cache_dir, limits=quick))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "FETCH_FAILED")


def test_a_larger_file_than_allowed_costs_no_byte(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    web.files |= {"/voice.onnx": Served(BODY), "/endless": Served(BODY, length=False, ranges=False)}
    limits = replace(quick, max_bytes=600_000)
    assert (
        refused(lambda: fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=limits)).reason
        == "ARTIFACT_TOO_LARGE"
    )
    assert web.sent_bytes == 0
    assert (
        refused(lambda: fetch(f"{web.url}/endless", cache_dir=cache_dir, limits=limits)).reason == "ARTIFACT_TOO_LARGE"
    )
    assert [name for name in left_in(cache_dir) if name.startswith("partial")] == []


def test_a_disk_without_room_is_reported_before_the_first_byte(
    web: FileServer, cache_dir: Path, quick: FetchLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/voice.onnx"] = Served(BODY)
    monkeypatch.setattr("voiceplane_common.artifacts.cache.Cache.free_bytes", lambda _: 1000)
    error = refused(lambda: fetch(f"{web.url}/voice.onnx", cache_dir=cache_dir, limits=quick))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert f"{len(BODY)} bytes are needed, 1000 are free" in error.message
    assert web.sent_bytes == 0


def test_a_folder_is_fetched_by_its_index(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    index = {"model.onnx": SHA256, "a/config.json": hashlib.sha256(b"{}").hexdigest(), "README": "0" * 64}
    web.files |= {"/alba/model.onnx": Served(BODY), "/alba/a/config.json": Served(b"{}")}
    arguments = {"index": index, "exclude": ["README"], "cache_dir": cache_dir, "limits": quick}
    folder = fetch(f"{web.url}/alba/", **arguments)  # type: ignore[arg-type]  # mypy takes all values for one type
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["config.json", "model.onnx"]
    web.asked.clear()
    assert fetch(f"{web.url}/alba/", **arguments) == folder  # type: ignore[arg-type]  # as above
    assert web.asked == []
    wrong = {**arguments, "index": {"a/config.json": "1" * 64}}
    assert refused(lambda: fetch(f"{web.url}/alba/", **wrong)).reason == "DIGEST_MISMATCH"  # type: ignore[arg-type]


def test_an_index_can_not_name_a_file_outside(web: FileServer, cache_dir: Path, quick: FetchLimits) -> None:
    error = refused(
        lambda: fetch(f"{web.url}/alba/", index={"../escaped": "0" * 64}, cache_dir=cache_dir, limits=quick)
    )
    assert error.reason == "UNSAFE_PATH"
