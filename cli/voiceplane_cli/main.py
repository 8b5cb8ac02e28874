"""The voiceplane command. Its commands are thin: each belongs to the module of its name."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Coroutine
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from typer.core import TyperGroup
from voiceplane_common.errors import VoiceplaneError

from voiceplane_cli import demo as demos
from voiceplane_cli import doctor as doctors
from voiceplane_cli import inventory as inventories
from voiceplane_cli import keys_app, logs_app, packs_app
from voiceplane_cli import say as saying
from voiceplane_cli import talk as talking
from voiceplane_cli import top as tops
from voiceplane_cli.audio_output import open_audio_output
from voiceplane_cli.comparison import compare as comparing
from voiceplane_cli.comparison.compare_target import compare_target
from voiceplane_cli.comparison.result_files import ResultFiles
from voiceplane_cli.comparison.transcription import open_transcriber
from voiceplane_cli.local_stack import StackOptions
from voiceplane_cli.model_declaration import ModelDeclaration, pairs, source_uri
from voiceplane_cli.model_info import ModelInfo, WorkerInfo
from voiceplane_cli.options import Json
from voiceplane_cli.orchestrator_client import DEFAULT_URL, Action, OrchestratorClient
from voiceplane_cli.output import CliError, ExitCode, fail, note, print_json, stdout, table
from voiceplane_cli.wav import read_speech
from voiceplane_cli.workers import workers_table

T = TypeVar("T")


class ErrorGroup(TyperGroup):
    """Commands whose expected errors end in one line and an exit code, not in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (CliError, VoiceplaneError) as error:
            if ctx.params.get("debug"):
                raise
            raise typer.Exit(fail(error)) from None
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough. Nothing must be flushed into the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.FAILED) from None


app = typer.Typer(
    name="voiceplane", cls=ErrorGroup, no_args_is_help=True, pretty_exceptions_enable=False, help="Realtime speech."
)
models_app = typer.Typer(no_args_is_help=True, help="Which models there are and where; load and unload them.")
app.add_typer(models_app, name="models")
app.add_typer(packs_app.app, name="packs")
app.add_typer(keys_app.app, name="keys")
app.add_typer(logs_app.app, name="logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Globals:
    """The options of all commands."""

    server: str | None
    api_key: str

    @property
    def url(self) -> str:
        """The server that was named, or the default one."""
        return self.server or DEFAULT_URL


Model = Annotated[str | None, typer.Option(help="The model; default: the server's.")]
Voice = Annotated[str | None, typer.Option(help="The voice; default: the model's first.")]
Language = Annotated[str | None, typer.Option(help="BCP 47, such as en-US.")]
WorkerAddress = Annotated[str | None, typer.Option("--worker", help="HOST:PORT of a worker: ask it directly by gRPC.")]
Server = Annotated[str | None, typer.Option(envvar="VOICEPLANE_SERVER", help=f"The server's URL [{DEFAULT_URL}].")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voiceplane {importlib.metadata.version('voiceplane')}")
        raise typer.Exit


@app.callback()
def voiceplane(
    ctx: typer.Context,
    server: Server = None,
    api_key: Annotated[str, typer.Option(envvar="VOICEPLANE_API_KEY", help="The server's API key.")] = "",
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # read by ErrorGroup
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Realtime speech: talk to it, let it talk, and see what runs where."""
    ctx.obj = Globals(server=server, api_key=api_key)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page, on this machine only.")] = 8080,
    model: Model = None,
    reply: Annotated[Literal["echo", "llm"], typer.Option(help="Who answers.")] = "echo",
    no_open: Annotated[bool, typer.Option("--no-open", help="Don't open a browser.")] = False,
) -> None:
    """Run everything on this machine, with a page to talk to."""
    options = StackOptions(port=port, model=model or "", reply=reply)
    _run(demos.run_demo(options, open_page=not no_open))


@app.command()
def say(
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What to say; default: standard input, as it arrives.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="A WAV file, or - for stdout.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write s16le PCM (48 kHz, mono) instead of WAV.")] = False,
    model: Model = None,
    voice: Voice = None,
    language: Language = None,
    speed: Annotated[float | None, typer.Option(min=0.25, max=4.0, help="Speaking rate.")] = None,
    sentence: Annotated[bool, typer.Option("--sentence", help="Wait for whole sentences: calmer, later.")] = False,
    server: Server = None,
    json_: Json = False,
) -> None:
    """Say a text through the speakers, or write it to a file."""
    if text is None and sys.stdin.isatty():
        raise CliError('nothing to say: voiceplane say "Hello there.", or pipe text into it', code=ExitCode.USAGE)
    if json_ and output == "-":
        raise CliError("--json and -o - both want stdout: write the audio to a file", code=ExitCode.USAGE)
    segmentation = "sentence" if sentence else None
    wanted = saying.SpeechOptions(
        model=model,
        voice=voice,
        language=language,
        speed=speed,
        segmentation=segmentation,
        pacing="unpaced" if output not in {None, "-"} else None,  # what reads a pipe may play it
    )
    spoken = _run(_say(_globals(ctx, server), text, output=output, raw=raw, wanted=wanted))
    if json_:
        print_json(asdict(spoken))
    else:
        if spoken.fallback:
            note(f"fallback: {spoken.fallback}")
        note(f"first audio {spoken.first_audio_ms:.0f} ms, {spoken.duration_ms / 1000:.2f} s, RTF {spoken.rtf:.2f}")


async def _say(
    common: Globals, text: str | None, *, output: str | None, raw: bool, wanted: saying.SpeechOptions
) -> saying.Spoken:
    sink = saying.open_file(output, raw=raw) if output else await open_audio_output()
    async with (
        saying.finishing(sink),
        demos.reachable(common.server, api_key=common.api_key, model=wanted.model or "") as api,
    ):
        pieces = saying.read_stream(sys.stdin.fileno()) if text is None else saying.pieces_of(text)
        return await saying.speak(api, pieces, wanted=wanted, sink=sink)


@app.command()
def talk(
    ctx: typer.Context,
    input_: Annotated[Path | None, typer.Option("--input", help="A WAV file that speaks instead of you.")] = None,
    output: Annotated[str | None, typer.Option("--output", help="The reply as it was heard, with --input.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Send the input at once, not at the pace of speech.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for a reply after the input.")] = 60,
    model: Model = None,
    voice: Voice = None,
    language: Language = None,
    server: Server = None,
    json_: Json = False,
) -> None:
    """Talk through the microphone, or let a recording talk."""
    wanted = saying.SpeechOptions(model=model, voice=voice, language=language)
    common = _globals(ctx, server)
    if input_ is None:
        if output or fast or json_:
            raise CliError("--output, --fast and --json go with --input in.wav", code=ExitCode.USAGE)
        _run(_talk_live(common, wanted=wanted))
        return
    recording = read_speech(input_, sample_rate_hz=talking.MICROPHONE_RATE_HZ)
    talked = _run(_talk(common, recording, output=output, fast=fast, patience_s=patience, wanted=wanted, quiet=json_))
    if json_:
        print_json(asdict(talked))


async def _talk_live(common: Globals, *, wanted: saying.SpeechOptions) -> None:
    async with demos.reachable(common.server, api_key=common.api_key, model=wanted.model or "") as api:
        await talking.talk_live(api, wanted=wanted)


async def _talk(
    common: Globals,
    recording: bytes,
    *,
    output: str | None,
    fast: bool,
    patience_s: float,
    wanted: saying.SpeechOptions,
    quiet: bool,
) -> talking.Talked:
    sink = saying.open_file(output, raw=False) if output else await open_audio_output()
    said = (lambda _: None) if quiet else (note if output == "-" else typer.echo)
    async with (
        saying.finishing(sink),
        demos.reachable(common.server, api_key=common.api_key, model=wanted.model or "") as api,
    ):
        return await talking.talk_with_recording(
            api, recording, wanted=wanted, sink=sink, fast=fast, patience_s=patience_s, said=said
        )


@app.command()
def compare(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="What each model is to say.")],
    models: Annotated[str, typer.Option(help="Their ids, with commas between.")],
    repeat: Annotated[int, typer.Option(min=1, max=1000, help="Warm takes of each, in turns.")] = 5,
    cold: Annotated[bool, typer.Option("--cold", help="Unload each model first, if no session holds it.")] = False,
    transcribe: Annotated[bool, typer.Option("--transcribe", help="Transcribe it back: word errors.")] = False,
    language: Language = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with sound and plots.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a WAV file of each model into this folder.")] = None,
    worker: WorkerAddress = None,
    server: Server = None,
    json_: Json = False,
) -> None:
    """Let several models say one text: latency, cost, loudness, and the sound itself."""
    common, ids, script = _globals(ctx, server), comparing.models_of(models), comparing.script_of(text, language)
    results = ResultFiles(html=html, folder=out)
    results.prepare()
    where = compare_target(server=common.server, worker=worker, api_key=common.api_key, models=len(ids))

    async def run() -> list[comparing.ModelResult]:
        async with open_transcriber() if transcribe else nullcontext() as listen, where as source:
            with demos.progress("comparing") as tell:
                return await comparing.compare(
                    source, ids, script, repeat=repeat, cold=cold, listen=listen, progress=tell
                )

    compared = _run(run())
    results.write(compared, script)
    if json_:
        print_json({"text": text, "repeat": repeat, "models": [comparing.as_json(each) for each in compared]})
    else:
        stdout().print(comparing.comparison_table(compared))
    for line in comparing.errors(compared):
        note(line)
    if any(each.error for each in compared):
        raise typer.Exit(ExitCode.FAILED)


@models_app.command("list")
def list_models(ctx: typer.Context, worker: WorkerAddress = None, server: Server = None, json_: Json = False) -> None:
    """All models and their state on each worker; * marks the default."""
    found = _run(_models(_globals(ctx, server), worker=worker))
    if json_:
        print_json({"models": [asdict(model) for model in found]})
    else:
        _show_models(found)


def _show_models(found: list[ModelInfo]) -> None:
    console = stdout()
    console.print(inventories.models_table(found))
    for reason in inventories.reasons(found):
        console.print(reason, markup=False)


async def _models(common: Globals, *, worker: str | None) -> list[ModelInfo]:
    async with inventories.inventory(server=common.url, api_key=common.api_key, worker=worker) as source:
        return await source.models()


@models_app.command()
def load(
    ctx: typer.Context,
    model_id: str,
    source: Annotated[str, typer.Option(help="URI of its voice pack, or a path; for a model that is new.")] = "",
    sha256: Annotated[str, typer.Option(help="The digest of the pack.")] = "",
    credentials: Annotated[str, typer.Option(help="The worker's set of credentials that opens the source.")] = "",
    family: Annotated[str, typer.Option(help="Such as csm; default: as the pack says.")] = "",
    base: Annotated[str, typer.Option(help="For a LoRA: the base model that it is attached to.")] = "",
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A family option; repeatable.")] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=LANGUAGE]", help="A voice for sessions; repeatable; default: all."),
    ] = None,
    residency: Annotated[
        Literal["on_demand", "preload", "pinned"] | None, typer.Option(help="pinned: never evicted.")
    ] = None,
    load_timeout: Annotated[
        int, typer.Option(min=0, help="Seconds that the load may take, without its fetch; 0: the worker's own.")
    ] = 0,
    warm_up_text: Annotated[str, typer.Option(help="Spoken once after the load, unheard.")] = "",
    worker: WorkerAddress = None,
    server: Server = None,
    json_: Json = False,
) -> None:
    """Make a model resident, also one that no worker knows yet; answers when it is."""
    declaration = ModelDeclaration(
        source=source_uri(source),
        sha256=sha256,
        credentials=credentials,
        family=family,
        base=base,
        options=pairs(option or (), flag="--option"),
        voices=pairs(voice or (), flag="--voice", optional=True),
        residency=residency or "",
        load_timeout_ms=load_timeout * 1000,
        warm_up_text=warm_up_text,
    )
    _change(ctx, model_id, "load", declaration=declaration, worker=worker, server=server, json_=json_)


@models_app.command()
def unload(
    ctx: typer.Context, model_id: str, worker: WorkerAddress = None, server: Server = None, json_: Json = False
) -> None:
    """Drain and unload a model."""
    _change(ctx, model_id, "unload", worker=worker, server=server, json_=json_)


@models_app.command()
def reload(
    ctx: typer.Context, model_id: str, worker: WorkerAddress = None, server: Server = None, json_: Json = False
) -> None:
    """Re-read a model's voice pack; the old one serves until the new one is resident."""
    _change(ctx, model_id, "reload", worker=worker, server=server, json_=json_)


def _change(
    ctx: typer.Context,
    model_id: str,
    action: Action,
    *,
    declaration: ModelDeclaration | None = None,
    worker: str | None,
    server: str | None,
    json_: bool,
) -> None:
    common = _globals(ctx, server)

    async def run() -> ModelInfo:
        async with inventories.inventory(server=common.url, api_key=common.api_key, worker=worker) as source:
            with demos.progress(f"{model_id}: {action}") as tell:
                return await inventories.change(source, model_id, action, declaration=declaration, progress=tell)

    model = _run(run())
    if json_:
        print_json(asdict(model))
    else:
        _show_models([model])


@app.command()
def workers(ctx: typer.Context, worker: WorkerAddress = None, server: Server = None, json_: Json = False) -> None:
    """All workers and their load."""
    common = _globals(ctx, server)

    async def run() -> list[WorkerInfo]:
        async with inventories.inventory(server=common.url, api_key=common.api_key, worker=worker) as source:
            return await source.workers()

    found = _run(run())
    if json_:
        print_json({"workers": [asdict(each) for each in found]})
    else:
        stdout().print(workers_table(found))


@app.command()
def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print it once instead of showing it live.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    server: Server = None,
    json_: Json = False,
) -> None:
    """Sessions, latencies, workers and models as they are now, live until Ctrl-C."""
    common = _globals(ctx, server)

    async def run() -> None:
        async with OrchestratorClient(common.url, api_key=common.api_key) as api:
            if not (once or json_) and sys.stdout.isatty():
                await tops.live(api, interval_s=interval)
                return
            shown = await tops.Watch(api).look()
            if json_:
                print_json(asdict(shown))
            else:
                stdout().print(tops.view(shown, recent=False))

    _run(run())


@app.command()
def doctor(json_: Json = False) -> None:
    """Check what is installed and what is missing, with the commands that fix it."""
    checks = doctors.examine(doctors.Probes())
    if json_:
        print_json(doctors.as_json(checks))
    else:
        rows = [(each.purpose, each.name, each.mark, each.found, each.remedy) for each in checks]
        stdout().print(table(("for", "what", "state", "found", "remedy"), rows))
    if not doctors.is_fit(checks):
        raise typer.Exit(ExitCode.FAILED)


def _globals(ctx: typer.Context, server: str | None) -> Globals:
    """The global options, with what the command itself was given before them."""
    common: Globals = ctx.obj
    return Globals(server=server or common.server, api_key=common.api_key)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
