"""Loads voice packs: fetch, load, warm up and close, each in a thread of the loader's pool."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from voiceplane_common import gc_tuning
from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.artifacts.pruning import prune
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_common.logs import get_logger

from voiceplane_worker.adapters import plugins
from voiceplane_worker.adapters.base import LoraBase, Piece
from voiceplane_worker.adapters.hosted.adapter import HostedAdapter
from voiceplane_worker.adapters.plugins import find_adapter, warm_up_runs
from voiceplane_worker.audio.loudness import calibrate
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.async_waits import complete, end
from voiceplane_worker.residency.load_check import estimate_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from voiceplane_common.artifacts import FetchLimits, FetchProgress

    from voiceplane_worker.adapters.base import Adapter, Model
    from voiceplane_worker.packs.catalog import CatalogPack
    from voiceplane_worker.packs.metadata import PackMetadata
    from voiceplane_worker.packs.pack import VoicePack
    from voiceplane_worker.residency.load_check import LoadCheck
    from voiceplane_worker.residency.model_spec import ModelSpec

T = TypeVar("T")
_log = get_logger("packs")

FETCH_THREADS = 64


class PackLoader:
    """A Loader, see `load_runner`."""

    def __init__(
        self,
        *,
        device: str,
        threads: int,
        adapter_of: Callable[[str], Adapter] = find_adapter,
        cache_dir: Path | None = None,
        credentials_dir: Path | None = None,
        accept_licences: Collection[str] = (),
        private_sources: Sequence[str] | None = None,
        limits: FetchLimits | None = None,
        load_check: LoadCheck | None = None,
        cache_max_bytes: int = 0,
    ) -> None:
        """Prepare.

        Args:
            device: "cpu", "cuda" or "cuda:N".
            threads: Threads that one inference call may use on a CPU.
            adapter_of: Returns the adapter of a family.
            cache_dir: See `voiceplane_common.artifacts.fetch`.
            credentials_dir: See there, too.
            accept_licences: See `voiceplane_worker.packs.opening.open_pack`.
            private_sources: See `voiceplane_common.artifacts.fetch`.
            limits: See there, too.
            load_check: Refuses packs before they are fetched; None for no check.
            cache_max_bytes: After a fetch, what was not used for the longest time is removed from the cache until it
                is this small; 0 for no bound.
        """
        self._device = device
        self._threads = threads
        self._adapter_of = adapter_of
        self._cache_dir = cache_dir
        self._credentials_dir = credentials_dir
        self._accept_licences = accept_licences
        self._private_sources = private_sources
        self._limits = limits
        self._load_check = load_check
        self._cache_max_bytes = cache_max_bytes
        self._pool = ThreadPoolExecutor(thread_name_prefix="loader")
        # Of its own, so that slow fetches leave threads to loads; how many there are is limited by who calls.
        self._fetch_pool = ThreadPoolExecutor(max_workers=FETCH_THREADS, thread_name_prefix="fetcher")

    async def fetch(
        self,
        spec: ModelSpec,
        known: CatalogPack | None,
        *,
        fetched: Callable[[int, int], None],
        admit: Callable[[int], None] = lambda _: None,
    ) -> VoicePack:
        """See Loader. A cancelled fetch ends within a second; what has come stays in the cache for the next one."""
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()

        def progress(now: FetchProgress) -> None:
            loop.call_soon_threadsafe(fetched, now.done_bytes, now.total_bytes)

        def sized(described: PackMetadata | None, files: Mapping[str, int]) -> None:
            options = {**(described.options if described else {}), **spec.options}
            memory_bytes = estimate_memory_bytes(files, device=self._device, options=options)
            declared = described.memory_bytes if described else None
            outcome: Future[None] = Future()
            loop.call_soon_threadsafe(_settle, outcome, admit, declared or memory_bytes)
            outcome.result()

        def work() -> VoicePack:
            pack = open_pack(
                spec,
                known,
                cache_dir=self._cache_dir,
                credentials_dir=self._credentials_dir,
                accept_licences=self._accept_licences,
                private_sources=self._private_sources,
                progress=progress,
                cancelled=cancelled,
                limits=self._limits,
                check=self._load_check.check if self._load_check else lambda _: None,
                admit=sized,
                opens=plugins.opens,
            )
            if self._cache_max_bytes:
                self._prune()
            return pack

        running = asyncio.create_task(self._run(work, pool=self._fetch_pool))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled.set()
            await end(running)
            raise

    async def load(self, pack: VoicePack, spec: ModelSpec, *, base: Model | None = None) -> Model:
        """See Loader. A thread can't be stopped: a cancelled load ends when its thread does, and frees the model."""
        del spec  # the pack holds all of it
        adapter = self._adapter_of(pack.metadata.family)

        def load() -> Model:
            if base is None:
                model = adapter.load(pack, device=self._device, threads=self._threads)
            elif isinstance(base, LoraBase):
                model = base.attach(pack)
            else:
                message = f"family {pack.metadata.family!r} does not support LoRA adapters: remove base_model_id"
                raise failed_precondition("LORA_UNSUPPORTED", message, field="base_model_id")
            gc_tuning.refreeze()
            return model

        return await self._run(load, undo=lambda model: model.close())

    async def warm_up(self, model: Model, pack: VoicePack) -> float:
        """See Loader. On a GPU, as often as the family says."""
        runs = warm_up_runs(pack.metadata.family) if self._device.startswith("cuda") else 1

        def work() -> float:
            for _ in range(runs - 1):
                speak_unheard(model, pack)
            return speak_unheard(model, pack)

        return await self._run(work)

    async def close(self, model: Model) -> None:
        """See Loader."""
        await self._run(model.close)

    def _prune(self) -> None:
        """Keep the cache small; what a pack holds stays, and a failure costs disk, not the load."""
        try:
            pruned = prune(Cache(self._cache_dir or default_cache_dir()), max_bytes=self._cache_max_bytes)
        except OSError as error:
            _log.warning("cache_not_pruned", problem=str(error))
            return
        if pruned and pruned.removed:
            _log.info("cache_pruned", artifacts=len(pruned.removed), freed_bytes=pruned.freed_bytes)
        if pruned and pruned.left_bytes > self._cache_max_bytes:
            message = "the cache is larger than worker.cache_max_bytes: all of it is in use or fresh"
            _log.warning("cache_too_large", left_bytes=pruned.left_bytes, message=message)

    async def _run(
        self,
        work: Callable[[], T],
        *,
        undo: Callable[[T], object] = lambda _: None,
        pool: ThreadPoolExecutor | None = None,
    ) -> T:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(pool or self._pool, work)
        if not await complete(future):
            return future.result()
        if future.exception() is None:
            await complete(loop.run_in_executor(self._pool, undo, future.result()))
        raise asyncio.CancelledError


def _settle(outcome: Future[None], work: Callable[[int], None], value: int) -> None:
    """Call a function on the event loop for a thread that waits."""
    try:
        work(value)
    except VoiceplaneError as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)


def adapter_of(family: str, *, hosted: Collection[str]) -> Adapter:
    """The adapter of a family, in child processes if it is hosted; raises as find_adapter does."""
    return HostedAdapter(family) if family in hosted else find_adapter(family)


def speak_unheard(model: Model, pack: VoicePack) -> float:
    """Synthesize the warm-up text once and discard the audio. Blocking.

    Returns:
        The gain in dB that brings it to the target loudness.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID: it yields no audio, or values that are not finite.
    """
    voice = model.voices[0]
    text = pack.metadata.warm_up_text
    chunks = list(model.synthesize(Piece(text=text, voice=voice.name, language=voice.language)))
    samples = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
    if not samples.size or not np.isfinite(samples).all():
        problem = "has NaN or infinite values" if samples.size else "is empty"
        message = f"model {pack.metadata.model_id!r}: the audio of its warm_up_text {problem}: the voice pack is broken"
        raise failed_precondition("PACK_INVALID", message, field="warm_up_text")
    return float(calibrate(samples, sample_rate_hz=model.sample_rate_hz))
