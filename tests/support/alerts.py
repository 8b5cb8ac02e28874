"""For each alert, series that make it fire and series that must not; as `promtool test rules` reads them."""

from __future__ import annotations

from dataclasses import dataclass

C, W, P = "voiceplane_orchestrator_", "voiceplane_worker_", "voiceplane_operator_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series by their names, each with values a minute apart.

    Attributes:
        at: When it must have fired.
    """

    firing: dict[str, str]
    quiet: dict[str, str]
    at: str = "40m"


def slow(metric: str, bucket: str, *, labels: str = "") -> Case:
    """A histogram of which everything is slower than a bucket, or nothing."""
    return Case(
        firing={
            f'{metric}_bucket{{{labels}le="{bucket}"}}': "0x60",
            f'{metric}_bucket{{{labels}le="10.0"}}': "0+10x60",
            f'{metric}_bucket{{{labels}le="+Inf"}}': "0+10x60",
        },
        quiet={
            f'{metric}_bucket{{{labels}le="{bucket}"}}': "0+10x60",
            f'{metric}_bucket{{{labels}le="10.0"}}': "0+10x60",
            f'{metric}_bucket{{{labels}le="+Inf"}}': "0+10x60",
        },
    )


def often(name: str, *, firing: str = "0+5x60", quiet: str = "3x60") -> Case:
    """A counter that grows, or does not."""
    return Case(firing={name: firing}, quiet={name: quiet})


CASES = {
    "VoiceplaneOrchestratorGone": Case(firing={"up": "1x60"}, quiet={f"{C}sessions_limit": "64x60"}),
    "VoiceplaneNoWorker": Case(
        firing={f'{C}workers{{state="ready"}}': "0x60", f'{C}workers{{state="lost"}}': "2x60"},
        quiet={f'{C}workers{{state="ready"}}': "0x60", f'{C}workers{{state="full"}}': "1x60"},
    ),
    "VoiceplaneSessionsRefused": often(f'{C}sessions_refused_total{{reason="TOO_MANY_SESSIONS"}}'),
    "VoiceplaneFirstAudioSlow": slow(f"{C}first_audio_seconds", "2.0", labels='after="speech",'),
    "VoiceplaneBargeInSlow": slow(f"{C}barge_in_seconds", "0.2"),
    "VoiceplaneRecognitionSlow": slow(f"{C}asr_seconds", "1.5"),
    "VoiceplaneRecognitionBacklog": Case(firing={f"{C}asr_queue": "5x60"}, quiet={f"{C}asr_queue": "4x60"}),
    "VoiceplaneReplySlow": slow(f"{C}reply_first_token_seconds", "1.5"),
    "VoiceplaneUtterancesFail": Case(
        firing={
            f'{C}utterances_total{{result="failed"}}': "0+1x60",
            f'{C}utterances_total{{result="complete"}}': "0+9x60",
        },
        quiet={
            f'{C}utterances_total{{result="failed"}}': "0+1x60",
            f'{C}utterances_total{{result="complete"}}': "0+99x60",
        },
    ),
    "VoiceplaneReroutes": often(f'{C}reroutes_total{{reason="STREAM_ENDED"}}'),
    "VoiceplaneWorkerNotReady": Case(firing={f"{W}ready": "0x60"}, quiet={f"{W}ready": "0x5 1x55"}),
    "VoiceplaneWorkerFull": Case(
        firing={f"{W}sessions": "16x60", f"{W}sessions_limit": "16x60"},
        quiet={f"{W}sessions": "14x60", f"{W}sessions_limit": "16x60"},
    ),
    "VoiceplaneFramesLate": Case(
        firing={
            f'{W}frame_jitter_seconds_bucket{{le="0.06"}}': "0+95x60",
            f"{W}frame_jitter_seconds_count": "0+100x60",
        },
        quiet={
            f'{W}frame_jitter_seconds_bucket{{le="0.06"}}': "0+995x60",
            f"{W}frame_jitter_seconds_count": "0+1000x60",
        },
    ),
    "VoiceplaneListenersRunDry": Case(
        firing={f"{W}underruns_total": "0+1x60", f"{W}first_audio_seconds_count": "0+10x60"},
        quiet={f"{W}underruns_total": "0+1x60", f"{W}first_audio_seconds_count": "0+100x60"},
    ),
    "VoiceplaneModelLoadsFail": often(f'{W}model_load_seconds_count{{model="m",outcome="failed"}}'),
    "VoiceplaneModelLost": often(f'{W}models_lost_total{{model="m"}}', firing="0x30 1x30"),
    "VoiceplaneModelsThrash": often(f'{W}model_evictions_total{{model="m",reason="MakingRoom"}}'),
    "VoiceplaneReconcilesFail": often(f'{P}reconcile_errors_total{{kind="VoiceModel"}}'),
    "VoiceplaneObjectsNotReady": Case(
        firing={f'{P}unready{{kind="VoiceModel"}}': "1x60"}, quiet={f'{P}unready{{kind="VoiceModel"}}': "1x10 0x50"}
    ),
    "VoiceplaneWorkersUnreachable": Case(
        firing={f"{P}workers": "2x60", f"{P}workers_reachable": "1x60"},
        quiet={f"{P}workers": "2x60", f"{P}workers_reachable": "2x60"},
    ),
}
