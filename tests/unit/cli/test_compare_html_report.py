from __future__ import annotations

import base64
import io
import re
import wave
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.comparison.html_report import report
from voiceplane_cli.comparison.recordings import Script
from voiceplane_cli.comparison.result_files import ResultFiles
from voiceplane_cli.comparison.transcription import Transcription
from voiceplane_cli.output import CliError, ExitCode

from tests.support.compare_results import result, tone

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "hr", "img", "input", "link", "source", "track"}
EVIL = "<script>alert('1')</script>\"><img src=x onerror=alert(1)>&amp;"


class Outline(HTMLParser):
    """What a page holds; fails on a tag that is not closed in its place, or an attribute or id that is there twice."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, "HTML itself has no such tag"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def page_of(script: Script, *models: str) -> str:
    return report([result(model) for model in models], script)


def test_a_page_is_well_formed_and_refers_to_nothing_outside() -> None:
    page = page_of(Script(text="Hello there."), "joe", "amy")
    outline = Outline(page)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert {tag for tag, _ in outline.tags} & {"script", "link", "iframe", "object", "img"} == set()
    for _, attributes in outline.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "data", "action", "poster"}:
                assert (value or "").startswith("data:audio/wav;base64,")
    assert "url(" not in page
    assert "http:" not in page
    assert "https:" not in page
    (policy,) = (found["content"] for tag, found in outline.tags if found.get("http-equiv"))
    assert policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_text_and_names_are_text_whatever_they_hold() -> None:
    broken = result(EVIL, firsts_ms=(), error=EVIL)
    heard = result(f"joe{EVIL}")
    heard.transcription = Transcription(text=EVIL, word_error_rate=1.0)
    page = report([broken, heard], Script(text=EVIL, language=EVIL))
    outline = Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "img"}
    assert outline.text.count(EVIL) == 7  # the text, each name as row and heading, the error and what was understood
    assert "<script" not in page


@pytest.mark.parametrize("unprintable", ["\0", "\x1b", "\udc80", "\x85"])
def test_what_a_page_cannot_hold_is_replaced(unprintable: str) -> None:
    page = page_of(Script(text=f"a{unprintable}b\nc"), "joe")
    assert "a\N{REPLACEMENT CHARACTER}b\nc" in Outline(page).text
    page.encode()


def test_the_sound_in_the_page_is_the_sound_that_was_spoken() -> None:
    (data,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page_of(Script(text="Hello."), "joe"))
    with wave.open(io.BytesIO(base64.b64decode(data))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        assert file.getnframes() == 48_000
        assert file.readframes(48_000) == tone(seconds=1)


def test_a_model_that_failed_has_its_reason_and_the_others_have_their_sound() -> None:
    page = report([result("joe"), result("amy", firsts_ms=(), error="no room")], Script(text="Hi."))
    outline = Outline(page)
    assert "no room" in outline.text
    assert [tag for tag, _ in outline.tags].count("audio") == 1


def test_unknown_values_are_left_out() -> None:
    spoken_once = result("joe")
    spoken_once.recordings, spoken_once.load_ms = [], None
    assert "not measured warm" in report([spoken_once], Script(text="Hi."))


def test_wav_files_are_named_by_their_models_and_stay_in_the_folder(tmp_path: Path) -> None:
    results = ResultFiles(html=tmp_path / "r.html", folder=tmp_path / "a" / "b")
    results.prepare()
    results.write([result("joe"), result("../../x"), result("amy", firsts_ms=())], Script(text="Hi."))
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [".._.._x.wav", "joe.wav"]
    with wave.open(str(tmp_path / "a" / "b" / "joe.wav")) as file:
        assert file.readframes(file.getnframes()) == tone(seconds=1)
    assert "<html" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_an_unwritable_file_is_reported_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for results in (
        ResultFiles(html=tmp_path / "none" / "r.html", folder=None),
        ResultFiles(html=tmp_path, folder=None),
        ResultFiles(html=None, folder=tmp_path / "file"),
    ):
        with pytest.raises(CliError, match="cannot write") as caught:
            results.prepare()
        assert caught.value.code is ExitCode.USAGE
