"""OpenAI's own client and the curl commands of its documentation, on their defaults, against a running server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import openai
import pytest
from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_orchestrator.transports.http.audio_formats import wav_header
from voiceplane_worker.app import Worker
from voiceplane_worker.settings import ModelManagerSection, WorkerSection, WorkerSettings

from tests.support import node
from tests.support.orchestrators import LoudIsVoice, ScriptedRecognizer, orchestrator
from tests.support.speech import SENTENCES, synthesize_pcm, word_error_rate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NODE = Path(__file__).parent / "node"
TEXT = "The quick brown fox jumped over the lazy dog. It ran on through the wood, and was not seen again."
SPOKEN = " ".join(SENTENCES[:3])
LONG = f"{TEXT} " * 20


@contextlib.asynccontextmanager
async def sdk(**sections: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    async with orchestrator(**sections) as running, connected(running) as client:
        yield client
        await running.wait_idle()


@contextlib.asynccontextmanager
async def connected(running: Orchestrator, api_key: str = "none") -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=api_key, max_retries=0) as client,
        asyncio.timeout(90),
    ):
        yield client


def decoded(file: bytes) -> tuple[str, str, int, float]:
    """Container, codec, rate and seconds, as FFmpeg reads them."""
    with av.open(io.BytesIO(file), "r") as container:
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return container.format.name, stream.codec_context.name, stream.rate, samples / stream.rate


async def spoken_s(client: openai.AsyncOpenAI) -> float:
    """Seconds that TEXT takes: its PCM is 24 kHz."""
    pcm = await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm")
    return len(pcm.content) / 2 / 24_000


async def test_the_sdks_own_example_makes_an_mp3(tmp_path: Path) -> None:
    async with sdk() as client:
        seconds = await spoken_s(client)
        file = tmp_path / "speech.mp3"
        async with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="coral", input=TEXT, instructions="Speak in a cheerful and positive tone."
        ) as response:
            assert response.headers["Voiceplane-Ignored"] == "instructions"
            assert response.headers["Content-Type"] == "audio/mpeg"
            await response.stream_to_file(file)
    container, codec, rate_hz, length_s = decoded(file.read_bytes())
    assert (container, codec, rate_hz) == ("mp3", "mp3float", 48_000)
    assert length_s == pytest.approx(seconds, rel=0.03)
    assert seconds > 4


FILES = {
    "mp3": ("mp3", "mp3float"),
    "opus": ("ogg", "opus"),
    "aac": ("aac", "aac"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "pcm_s16le"),
}


async def test_each_format_is_playable_and_has_the_length_of_the_speech() -> None:
    async with sdk() as client:
        seconds = await spoken_s(client)
        for name, format_ in FILES.items():
            speech: Any = {"model": "tts-1-hd", "voice": "nova", "input": TEXT, "response_format": name}
            content = (await client.audio.speech.create(**speech)).content
            container, codec, _, length_s = decoded(content)
            assert (container, codec) == format_
            assert length_s == pytest.approx(seconds, rel=0.03), name
        for law in ("mulaw", "alaw"):
            body: Any = {"response_format": law}
            answer = await client.audio.speech.create(model="tts-1", voice="onyx", input=TEXT, extra_body=body)
            assert len(answer.content) / 8_000 == pytest.approx(seconds, rel=0.03)


@pytest.mark.timeout(180)  # npm may have to install the SDK
async def test_the_javascript_sdk_works_on_its_defaults(tmp_path: Path) -> None:
    folder = await asyncio.to_thread(node.installed, NODE)
    async with orchestrator() as running:
        program = await asyncio.create_subprocess_exec(
            "node", folder / "openai_defaults.mjs", f"{running.url}/v1", tmp_path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await program.communicate()
        await running.wait_idle()
    assert program.returncode == 0
    found = json.loads(output)
    assert {"mock", "tts-1", "whisper-1"} <= set(found["models"])
    assert (found["model"], found["content_type"]) == ("tts-1", "audio/mpeg")
    seconds = (tmp_path / "speech.pcm").stat().st_size / 2 / 24_000
    for name, format_ in FILES.items():
        container, codec, _, length_s = decoded((tmp_path / f"speech.{name}").read_bytes())
        assert (container, codec) == format_
        assert length_s == pytest.approx(seconds, rel=0.03), name
    assert found["events"][-1] == "transcript.text.done"
    assert found["error"] == {"status": 404, "param": "model", "type": "invalid_request_error"}


async def test_every_voice_of_openais_speaks_and_they_differ() -> None:
    async with sdk() as client:
        spoken = set()
        for voice in ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse"):
            answer = await client.audio.speech.create(model="tts-1", voice=voice, input="Hi.", response_format="pcm")
            spoken.add(answer.content)
        custom: Any = {"id": "high"}
        answer = await client.audio.speech.create(model="mock", voice=custom, input="Hi.", response_format="pcm")
        assert answer.content in spoken
        assert len(spoken) > 1


async def test_audio_arrives_before_the_end_is_made() -> None:
    async with (
        sdk() as client,
        client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=LONG) as response,
    ):
        sizes = [len(chunk) async for chunk in response.iter_bytes(1024)]
        assert len(sizes) > 100
        assert "Content-Length" not in response.headers


async def test_server_sent_events_have_openais_names_and_usage() -> None:
    async with sdk() as client:
        async with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="sage", input=TEXT, response_format="pcm", stream_format="sse"
        ) as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            events = [json.loads(line[6:]) async for line in response.iter_lines() if line]
        whole = await client.audio.speech.create(model="tts-1", voice="sage", input=TEXT, response_format="pcm")
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == whole.content
    done = events[-1]
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


async def test_models_are_listed_and_found_by_name_and_alias() -> None:
    async with sdk() as client:
        models = {model.id: model async for model in client.models.list()}
        assert {"mock", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "whisper-1"} <= models.keys()
        assert {model.object for model in models.values()} == {"model"}
        assert (await client.models.retrieve("mock")).id == "mock"
        alias = await client.models.retrieve("tts-1")
        assert alias.model_extra is not None
        assert alias.model_extra["alias_of"] == "mock"
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.models.retrieve("unknown")
        assert unknown.value.type == "invalid_request_error"


async def test_errors_reach_the_client_as_its_own() -> None:
    async with orchestrator(auth={"api_keys": ["sesame"]}) as running:
        async with connected(running, api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.models.list()
            assert refused.value.type == "authentication_error"
        async with connected(running, api_key="sesame") as client:
            with pytest.raises(openai.NotFoundError) as unknown:
                await client.audio.speech.create(model="tts-9", voice="alloy", input=TEXT)
            assert unknown.value.param == "model"
            with pytest.raises(openai.BadRequestError) as wrong:
                await client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, speed=9)
            assert (wrong.value.param, wrong.value.type) == ("speed", "invalid_request_error")
            assert "4" in wrong.value.message


def recording(container: str = "wav", codec: str = "pcm_s16le") -> bytes:
    """SPOKEN as espeak-ng says it."""
    data = io.BytesIO()
    with av.open(data, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000, frame_size=960)
        for frame in resampler.resample(speech_frame()):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return data.getvalue()


def speech_frame() -> av.AudioFrame:
    samples = np.frombuffer(synthesize_pcm(SPOKEN), "<i2")
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = 48_000
    return frame


def cues(captions: str) -> Iterator[str]:
    for block in captions.strip().split("\n\n"):
        lines = block.splitlines()
        if any(" --> " in line for line in lines):
            yield lines[-1]


async def test_recordings_are_transcribed_in_every_format() -> None:
    async with sdk() as client:
        wav = ("speech.wav", recording())
        transcribe: Any = client.audio.transcriptions.create
        plain = await transcribe(model="whisper-1", file=wav)
        assert word_error_rate([SPOKEN], [plain.text]) <= 0.1, plain.text
        assert plain.usage.type == "duration"
        text = await transcribe(model="gpt-4o-transcribe", file=wav, response_format="text", language="en")
        assert text.strip() == plain.text
        for captions in ("srt", "vtt"):
            made = await transcribe(model="whisper-1", file=wav, response_format=captions)
            assert " ".join(cues(made)) == plain.text
            assert made.startswith("WEBVTT" if captions == "vtt" else "1\n00:00:0")
        verbose = await transcribe(
            model="whisper-1",
            file=("speech.mp3", recording("mp3", "libmp3lame")),
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            prompt="The airport, lunch.",
            temperature=0,
        )
        assert word_error_rate([SPOKEN], [" ".join(word.word for word in verbose.words)]) <= 0.1
        times = [time for word in verbose.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert times[-1] <= verbose.duration
        assert [segment.id for segment in verbose.segments] == list(range(len(verbose.segments)))
        assert verbose.language == "en"
        events = [event async for event in await transcribe(model="gpt-4o-mini-transcribe", file=wav, stream=True)]
        assert events[-1].type == "transcript.text.done"
        assert events[-1].text == "".join(event.delta for event in events[:-1]) == plain.text
        assert {event.type for event in events[:-1]} == {"transcript.text.delta"}
        raw = synthesize_pcm(SPOKEN, sample_rate_hz=16_000)
        body = {"input_format": "pcm", "sample_rate": 16_000}
        headless = await transcribe(model="whisper-1", file=("speech.raw", raw), extra_body=body)
        assert word_error_rate([SPOKEN], [headless.text]) <= 0.1
        with pytest.warns(DeprecationWarning, match="deprecated"):  # of the SDK, not of the endpoint
            english = await client.audio.translations.create(model="whisper-1", file=wav)
        assert word_error_rate([SPOKEN], [english.text]) <= 0.2


async def test_uploads_that_cannot_be_transcribed_are_refused() -> None:
    async with sdk(transcription={"max_upload_bytes": 100_000, "max_duration_ms": 1000, "models": ["w"]}) as client:
        transcribe: Any = client.audio.transcriptions.create
        for file, more, status, param in (
            (bytes(200_000), {}, 413, "file"),
            (bytes(1_000_000), {}, 413, "file"),
            (bytes(1000), {}, 400, "file"),
            (b"", {}, 400, "file"),
            (bytes(64_000), {"extra_body": {"input_format": "pcm", "sample_rate": 16_000}}, 413, "file"),
            (bytes(1000), {"extra_body": {"input_format": "pcm"}}, 400, "sample_rate"),
            (bytes(1000), {"model": "unknown"}, 404, "model"),
            (bytes(1000), {"response_format": "diarized_json"}, 400, "response_format"),
            (bytes(1000), {"response_format": "srt", "stream": True}, 400, "response_format"),
            (bytes(1000), {"temperature": 7}, 400, "temperature"),
            (bytes(1000), {"timestamp_granularities": ["word"]}, 400, "timestamp_granularities"),
        ):
            with pytest.raises(openai.APIStatusError) as refused:
                await transcribe(**{"model": "w", "file": ("a.wav", file), **more})
            assert (refused.value.status_code, refused.value.param) == (status, param), more


async def test_more_files_than_the_limit_are_refused() -> None:
    async with sdk(transcription={"max_files": 1}) as client:
        transcribe: Any = client.audio.transcriptions.create
        file = ("a.wav", wav_header(sample_rate_hz=16_000, channels=1) + bytes(64_000))
        results = await asyncio.gather(
            *(transcribe(model="whisper-1", file=file) for _ in range(2)), return_exceptions=True
        )
        (refused,) = (result for result in results if isinstance(result, openai.APIStatusError))
        assert refused.status_code == 503
        assert int(refused.response.headers["Retry-After"]) > 0
        assert sum(not isinstance(result, Exception) for result in results) == 1


async def curl(*arguments: str) -> bytes:
    program = shutil.which("curl")
    assert program, "curl is not installed: run scripts/system-packages.sh"
    process = await asyncio.create_subprocess_exec(
        program, "--silent", "--show-error", "--fail-with-body", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output


async def test_the_curl_commands_of_openais_documentation(tmp_path: Path) -> None:
    async with orchestrator(auth={"api_keys": ["sesame"]}) as running, asyncio.timeout(60):
        key = ("-H", "Authorization: Bearer sesame")
        speech = {"model": "gpt-4o-mini-tts", "input": TEXT, "voice": "alloy"}
        mp3 = tmp_path / "speech.mp3"
        await curl(
            f"{running.url}/v1/audio/speech",
            *key,
            *("-H", "Content-Type: application/json", "-d", json.dumps(speech), "--output", str(mp3)),
        )
        assert decoded(mp3.read_bytes())[:2] == ("mp3", "mp3float")
        wav = tmp_path / "audio.wav"
        wav.write_bytes(recording())
        answer = await curl(
            f"{running.url}/v1/audio/transcriptions",
            *key,
            *("-H", "Content-Type: multipart/form-data", "-F", f"file=@{wav}", "-F", "model=gpt-4o-transcribe"),
        )
        assert word_error_rate([SPOKEN], [json.loads(answer)["text"]]) <= 0.1
        models = json.loads(await curl(f"{running.url}/v1/models", *key))
        assert models["object"] == "list"


async def test_what_a_real_voice_says_in_a_file_is_understood_in_another() -> None:
    worker = WorkerSettings(
        worker=WorkerSection(listen="127.0.0.1:0"),
        model_manager=ModelManagerSection(default_model_id="en_US-joe-medium"),
    )
    async with Worker(worker) as piper:
        settings = OrchestratorSettings.model_validate(
            {"server": {"listen": "127.0.0.1:0"}, "discovery": {"workers": [piper.address]}}
        )
        async with Orchestrator(settings, recognizer=ScriptedRecognizer(), voice_activity=LoudIsVoice) as running:
            await running.wait_ready(timeout_s=60)
            async with connected(running) as client:
                began_s = asyncio.get_running_loop().time()
                speech = await client.audio.speech.create(model="tts-1", voice="alloy", input=SPOKEN)
                took_s = asyncio.get_running_loop().time() - began_s
                assert decoded(speech.content)[3] > 4
                assert took_s < decoded(speech.content)[3], "a file is not made at the pace of speech"
                heard = await client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", speech.content))
                assert word_error_rate([SPOKEN], [heard.text]) <= 0.1, heard.text
