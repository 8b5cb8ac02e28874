"""Voiceplane for LiveKit Agents: `TTS` speaks through a worker; `STT` and `VAD` need the extra `stt`."""

from livekit.agents import Plugin
from livekit.plugins.voiceplane.log import logger
from livekit.plugins.voiceplane.stt import STT
from livekit.plugins.voiceplane.tts import TTS
from livekit.plugins.voiceplane.vad import VAD
from livekit.plugins.voiceplane.version import __version__

__all__ = ["STT", "TTS", "VAD", "__version__"]


class VoiceplanePlugin(Plugin):
    """The plugin as LiveKit Agents registers it."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__, logger)


Plugin.register_plugin(VoiceplanePlugin())
