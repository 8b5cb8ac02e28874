from __future__ import annotations

from voiceplane_cli.demo import has_display, welcome


def test_the_welcome_names_the_page_what_to_try_and_how_to_stop() -> None:
    said = welcome("http://127.0.0.1:8080")
    assert said.startswith("Voiceplane is ready: http://127.0.0.1:8080\n")
    assert "Ctrl-C" in said
    assert "--server" not in said
    assert 'say "Hello there." --server http://127.0.0.1:9000' in welcome("http://127.0.0.1:9000")


def test_a_browser_is_opened_only_where_it_has_a_display() -> None:
    assert has_display({"DISPLAY": ":0"}, platform="linux")
    assert has_display({"WAYLAND_DISPLAY": "w"}, platform="linux")
    assert has_display({}, platform="darwin")
    assert not has_display({}, platform="linux")
