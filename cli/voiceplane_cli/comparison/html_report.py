"""A comparison as one HTML file: sound, plots and figures, without a script and without anything from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.comparison.compare import ModelResult, cells, columns
from voiceplane_cli.comparison.measurements import Percentiles, samples_of
from voiceplane_cli.comparison.plots import arrivals, loudness_curve, waveform
from voiceplane_cli.comparison.recordings import Recording, Script
from voiceplane_cli.wav import header

TARGET_LUFS = -16.0
"""What the worker aims at."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:"
"""Whatever a model's name or a text may hold, the page loads and runs nothing."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f5f6f9; --card: #fff; --text: #1b2030; --soft: #565e73; --line: #d5d9e3; --accent: #2f5fd0; --aim: #8a5200;
  --bad: #b3261e;
  font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11141b; --card: #1a1f2a; --text: #e8ebf3; --soft: #a4adc2; --line: #343c4e; --accent: #8fb0ff;
    --aim: #f0bd6b; --bad: #ff9c94;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; }
h1 { font-size: 1.5rem; } h2 { margin: 0 0 .5rem; font-size: 1.2rem; overflow-wrap: anywhere; }
blockquote {
  margin: 1rem 0; padding: .5rem 1rem; border-left: 4px solid var(--accent);
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.wide { overflow-x: auto; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
section {
  margin-top: 1.25rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
}
audio { width: 100%; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; } figcaption, .note { color: var(--soft); font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
.shape { fill: var(--accent); } .line { fill: none; stroke: var(--accent); stroke-width: 1.5; }
.aim { stroke: var(--aim); stroke-width: 1.5; stroke-dasharray: 6 4; } .rule { stroke: var(--line); }
.tick { fill: var(--soft); font-size: 11px; }
.error { color: var(--bad); overflow-wrap: anywhere; }
"""

HOW = """Each model was loaded if it was not resident, spoke once, and then took turns with the others. First audio is
the time from sending the whole text to the first frame: the median of the warm recordings. Cold is the first audio of
the first recording after a load. RTF (real-time factor) is compute time over audio time. The value after a slash is the
95th percentile. Loudness, peak, length and sound are those of the first warm recording."""
LOUDNESS_CAPTION = "Momentary loudness in LUFS (BS.1770, blocks of 400 ms); dashed: what the worker aims at."
ARRIVALS_CAPTION = """Seconds of audio that have arrived, over the time since the text was sent; dashed: what a listener
has played who begins with the first frame. Where the dashed line is above the other, that listener ran dry."""


def report(results: Sequence[ModelResult], script: Script) -> str:
    """The page."""
    span_s = max((_span_s(each.shown) for each in results if each.shown), default=1.0)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        "<title>Voiceplane: models compared</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        "<h1>Models compared</h1>",
        f"<blockquote{_language(script)}>{_text(script.text)}</blockquote>",
        _table(results),
        f'<p class="note">{HOW}</p>',
        *(_section(each, script, number=number, span_s=span_s) for number, each in enumerate(results, 1)),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def wav(recording: Recording) -> bytes:
    """A recording as a WAV file."""
    return header(data_bytes=len(recording.pcm)) + recording.pcm


def _table(results: Sequence[ModelResult]) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns(results))
    rows = "\n".join(_row(*cells(each, results)) for each in results)
    caption = f"Warm recordings of each model: {max((len(each.recordings) for each in results), default=0)}"
    # What scrolls must be reachable by the keyboard, and have a name.
    return (
        '<div class="wide" role="region" aria-label="Figures" tabindex="0">\n'
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _row(name: str, *rest: str) -> str:
    return f'<tr><th scope="row">{_text(name)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in rest)}</tr>'


def _section(result: ModelResult, script: Script, *, number: int, span_s: float) -> str:
    name = _text(result.model_id)
    parts = [f'<section aria-labelledby="model-{number}">', f'<h2 id="model-{number}">{name}</h2>']
    if result.error:
        parts.append(f'<p class="error">{_text(result.error)}</p>')
    if result.shown:
        parts += _sound(result, result.shown, span_s=span_s)
    if result.transcription:
        words = result.transcription.text or "nothing"
        parts.append(f"<p>Transcribed back: <q{_language(script)}>{_text(words)}</q></p>")
    return "\n".join([*parts, "</section>"])


def _sound(result: ModelResult, recording: Recording, *, span_s: float) -> list[str]:
    name, length_s = result.model_id, recording.duration_ms / 1000
    sound = result.sound
    data = base64.b64encode(wav(recording)).decode()
    shape = waveform(
        samples_of(recording.pcm),
        span_s=span_s,
        rate_hz=SAMPLE_RATE_HZ,
        label=_clean(f"Waveform of {name}: {length_s:.2f} s, voice {recording.voice}"),
    )
    curve = loudness_curve(
        sound.momentary_lufs if sound else (),
        target_lufs=TARGET_LUFS,
        span_s=span_s,
        label=_clean(f"Loudness of {name}: integrated {sound.integrated_lufs if sound else None} LUFS"),
    )
    came = arrivals(
        recording.arrivals_ms,
        span_s=span_s,
        label=_clean(
            f"Frames of {name}: the first after {recording.first_audio_ms:.0f} ms, {len(recording.arrivals_ms)} in all"
        ),
    )
    return [
        f'<audio controls preload="metadata" aria-label="{_text(name)}" src="data:audio/wav;base64,{data}"></audio>',
        f"<p>Voice {_text(recording.voice)}; first audio {_said(result.first_audio_ms)}.</p>",
        '<div class="plots">',
        _figure(shape, "Waveform."),
        _figure(curve, LOUDNESS_CAPTION),
        _figure(came, ARRIVALS_CAPTION),
        "</div>",
    ]


def _figure(plot: str, caption: str) -> str:
    return f"<figure>\n{plot}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def _said(percentiles: Percentiles | None) -> str:
    return f"{percentiles.p50:.0f} ms, p95 {percentiles.p95:.0f} ms" if percentiles else "not measured warm"


def _span_s(recording: Recording) -> float:
    return max(recording.duration_ms, recording.arrivals_ms[-1]) / 1000


def _language(script: Script) -> str:
    return f' lang="{escape(script.language)}"' if script.language else ""


def _text(value: str) -> str:
    return escape(_clean(value))


def _clean(value: str) -> str:
    """Without the characters that HTML or UTF-8 can't hold."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in value)
