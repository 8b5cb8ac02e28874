"""Records what a page receives over WebRTC and what it says, as two channels of one time, from outside of the page."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.support.page import until

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from selenium.webdriver.chrome.webdriver import WebDriver

RATE_HZ = 48_000
LOUD = 0.02
WINDOW = RATE_HZ // 100
BLOCK = RATE_HZ // 5  # as the recorder below counts, too

# Runs before the page's own scripts. Both channels are written by one processor, so they share one time.
RECORDER = """
(() => {
  const context = new AudioContext({sampleRate: 48000});
  const recorder = `
    registerProcessor("recorder", class extends AudioWorkletProcessor {
      blocks = [0, 1].map(() => new Float32Array(9600));
      filled = 0;
      process(inputs) {
        this.blocks.forEach((block, channel) => inputs[channel][0] && block.set(inputs[channel][0], this.filled));
        this.filled += 128;
        if (this.filled < 9600) return true;
        this.port.postMessage(this.blocks, this.blocks.map(({buffer}) => buffer));
        this.blocks = [0, 1].map(() => new Float32Array(9600));
        this.filled = 0;
        return true;
      }
    })`;
  const recorded = window.recorded = {voice: [], microphone: [], sinks: []};
  const node = context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(recorder)}`).then(() => {
    const node = new AudioWorkletNode(context, "recorder", {numberOfInputs: 2, numberOfOutputs: 0});
    node.port.onmessage = ({data: [voice, microphone]}) => {
      recorded.voice.push(voice);
      recorded.microphone.push(microphone);
    };
    return node;
  });
  const follow = async (track, input) =>
    context.createMediaStreamSource(new MediaStream([track])).connect(await node, 0, input);
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...how) {
      super(...how);
      this.addEventListener("track", ({track}) => track.kind === "audio" && void follow(track, 0));
    }
  };
  const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
  media.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    void follow(stream.getAudioTracks()[0], 1);
    return stream;
  };
  const {setSinkId} = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.setSinkId = function (id) {
    recorded.sinks.push(id);
    return setSinkId.call(this, id);
  };
})();
"""
PEAK = """
const blocks = window.recorded.voice.slice(-arguments[0]);
return Math.max(...blocks.map((block) => Math.max(...block.map(Math.abs))));
"""
TAKE = """
const encoded = (blocks) => {
  const texts = blocks.map(({buffer}) => String.fromCharCode(...new Uint8Array(buffer)));
  return btoa(texts.join(""));
};
return [encoded(window.recorded.voice), encoded(window.recorded.microphone)];
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was received and what was said meanwhile: mono, 48 kHz, shape (n,)."""

    voice: NDArray[np.float32]
    microphone: NDArray[np.float32]

    def onset_after_pause(self, seconds: float) -> int:
        """Where the microphone begins to be loud after the last pause of at least so long, in samples."""
        loud = np.flatnonzero(_peaks(self.microphone) > LOUD)
        gaps = np.flatnonzero(np.diff(loud) > seconds * RATE_HZ / WINDOW)
        return int(loud[gaps[-1] + 1]) * WINDOW

    def silent_from(self, start: int, *, seconds: float) -> int:
        """Where the voice is first silent for so long, from a place on.

        Raises:
            ValueError: It never is.
        """
        quiet = _peaks(self.voice[start:]) <= LOUD
        for at in range(len(quiet) - round(seconds * RATE_HZ / WINDOW) + 1):
            if quiet[at : at + round(seconds * RATE_HZ / WINDOW)].all():
                return start + at * WINDOW
        raise ValueError("the voice is never silent")


def install(chrome: WebDriver) -> None:
    """Record every page that is opened from now on."""
    chrome.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # the recorder's worklet is none of the page's own
    chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": RECORDER})


def recorded_samples(chrome: WebDriver) -> int:
    """How much has been recorded so far."""
    return int(chrome.execute_script("return window.recorded.voice.length")) * BLOCK


def until_silent(chrome: WebDriver, *, seconds: float) -> None:
    """Wait until the voice has been silent for so long."""
    blocks = math.ceil(seconds * RATE_HZ / BLOCK)
    until(chrome, lambda c: c.execute_script(PEAK, blocks) <= LOUD)


def take(chrome: WebDriver) -> Recording:
    """All that was recorded."""
    voice, microphone = (np.frombuffer(base64.b64decode(part), np.float32) for part in chrome.execute_script(TAKE))
    return Recording(voice=voice, microphone=microphone)


def _peaks(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The peak of each 10 ms."""
    whole = samples[: samples.size - samples.size % WINDOW].reshape(-1, WINDOW)
    peaks: NDArray[np.float32] = np.abs(whole).max(axis=1)
    return peaks
