"""The routing decision: a pure function of the known workers, which also gives its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voiceplane_common.errors import VoiceplaneError, failed_precondition, not_found, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from voiceplane_orchestrator.routing.voice_request import VoiceRequest
    from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView

Policy = Literal["balanced", "least_loaded"]

# Reasons of errors that end when a worker starts, or has room again.
UNKNOWN_MODEL = "UNKNOWN_MODEL"
NO_WORKER = "NO_WORKER"
NO_MODEL = "NO_MODEL"
# No worker can ever load the model, as the workers are.
UNLOADABLE_MODEL = "UNLOADABLE_MODEL"

# Weights of the balanced policy. A full worker costs as much as 200 ms of first-audio latency, because the next session
# on it would wait for about that time. Waiting utterances are added.
LOAD_WEIGHT_MS = 200.0
QUEUE_WEIGHT_MS = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Which worker and model serve a session.

    Attributes:
        address: The worker.
        model_id: The model to request; empty for the worker's default.
        fallback: Whether it is another model than the requested one, which is being loaded.
        load_on: The worker that is to load a model meanwhile; empty for none.
        load_model_id: That model.
        reason: Why, for logs and clients.
    """

    address: str
    model_id: str
    fallback: bool = False
    load_on: str = ""
    load_model_id: str = ""
    reason: str = ""


def choose(
    workers: Sequence[WorkerView],
    request: VoiceRequest,
    *,
    session_key: str,
    policy: Policy = "balanced",
    prefer_resident: bool = True,
    avoid: Iterable[str] = (),
) -> RoutingDecision:
    """Choose a worker and a model.

    Args:
        workers: All known workers.
        request: The voice that the session requests.
        session_key: Breaks ties: the same key gives the same worker, and keys spread evenly.
        policy: How workers are compared.
        prefer_resident: A worker that has the model resident beats one that would have to load it.
        avoid: Addresses that failed this session; used only if there is no other.

    Raises:
        VoiceplaneError: UNAVAILABLE, NO_WORKER: none takes sessions. NOT_FOUND: no worker knows the model, a voice
            of that name, or the language. FAILED_PRECONDITION, UNLOADABLE_MODEL: those that know it can never load it.
    """
    open_workers = [worker for worker in workers if worker.takes_sessions]
    if not open_workers:
        raise _no_worker(workers)
    served = {id(worker): model for worker in open_workers if (model := _model(worker, request)) is not None}
    capable = [worker for worker in open_workers if id(worker) in served]
    if not capable:
        raise _not_served(workers, request)
    avoided = set(avoid)
    candidates = [worker for worker in capable if worker.address not in avoided] or capable
    resident = [worker for worker in candidates if served[id(worker)].resident]
    best = _best(resident if resident and prefer_resident else candidates, session_key=session_key, policy=policy)
    model = served[id(best)]
    if model.resident:
        return RoutingDecision(address=best.address, model_id=model.model_id, reason=explain(best, policy=policy))
    if resident:
        return _elsewhere(resident, request, best, model, session_key=session_key, policy=policy)
    others = [worker for worker in open_workers if worker.address not in avoided]
    return _while_loading(others, request, best, model, session_key=session_key, policy=policy)


def score(worker: WorkerView, *, policy: Policy) -> float:
    """What a session on this worker costs, in milliseconds of expected wait; lower is better."""
    load = worker.sessions / worker.max_sessions if worker.max_sessions else 0.0
    if policy == "least_loaded":
        return load
    return worker.first_audio_p50_ms + LOAD_WEIGHT_MS * load + QUEUE_WEIGHT_MS * worker.queue_depth


def explain(worker: WorkerView, *, policy: Policy) -> str:
    """The score in words."""
    return (
        f"{policy}: score {score(worker, policy=policy):.1f} ({worker.sessions}/{worker.max_sessions} sessions, "
        f"{worker.queue_depth} queued, first audio p50 {worker.first_audio_p50_ms:.0f} ms)"
    )


def _elsewhere(
    resident: Sequence[WorkerView],
    request: VoiceRequest,
    best: WorkerView,
    model: ModelView,
    *,
    session_key: str,
    policy: Policy,
) -> RoutingDecision:
    """Load the model on a less loaded worker, too; meanwhile use a worker that has it resident."""
    worker = _best(resident, session_key=session_key, policy=policy)
    here = _model(worker, request)
    return RoutingDecision(
        address=worker.address,
        model_id=here.model_id if here else model.model_id,
        load_on=best.address,
        load_model_id=model.model_id,
        reason=f"{explain(worker, policy=policy)}; {model.model_id} is being loaded on {best.address}, too",
    )


def _while_loading(
    workers: Sequence[WorkerView],
    request: VoiceRequest,
    best: WorkerView,
    model: ModelView,
    *,
    session_key: str,
    policy: Policy,
) -> RoutingDecision:
    """The requested model is resident nowhere: load it on the best worker, and use another model meanwhile."""
    language = request.language or (model.voices[0].language if model.voices else "")
    status = f"{model.model_id} is being loaded on {best.address}"
    if model.message:
        status += f" again (it failed: {model.message})"
    substitutes = [worker for worker in workers if _substitute(worker, language) is not None]
    if not substitutes:
        reason = f"{status}, and no other model is resident: the session waits"
        return RoutingDecision(address=best.address, model_id=model.model_id, reason=reason)
    worker = _best(substitutes, session_key=session_key, policy=policy)
    substitute = _substitute(worker, language)
    assert substitute is not None  # noqa: S101 - substitutes were chosen by this
    return RoutingDecision(
        address=worker.address,
        model_id=substitute.model_id,
        fallback=True,
        load_on=best.address,
        load_model_id=model.model_id,
        reason=f"{status}: {substitute.model_id} speaks meanwhile",
    )


def _best(workers: Sequence[WorkerView], *, session_key: str, policy: Policy) -> WorkerView:
    scores = [score(worker, policy=policy) for worker in workers]
    least = min(scores)
    # Only ties are hashed: with a thousand workers, hashing all was most of a decision's time.
    equals = [worker for worker, cost in zip(workers, scores, strict=True) if not cost > least]
    return min(equals, key=lambda worker: _rendezvous(session_key, worker.address))


def _rendezvous(session_key: str, address: str) -> bytes:
    """Highest-random-weight hashing (Thaler and Ravishankar, 1998): adding or removing a worker moves few sessions."""
    return hashlib.blake2b(f"{session_key}\0{address}".encode(), digest_size=8).digest()


def _model(worker: WorkerView, request: VoiceRequest) -> ModelView | None:
    """The model that would serve the session on a worker: the requested one, or one with the voice and language."""
    if request.model_id:
        model = worker.model(request.model_id)
        usable = model is not None and not model.unloadable and model.has_voice(request.voice)
        return model if usable else None
    default = worker.model("")
    if default is not None and _suits(default, request):
        return default
    speaking = [model for model in worker.models if _suits(model, request) and model.voices]
    return next((model for model in speaking if model.resident), speaking[0] if speaking else None)


def _suits(model: ModelView, request: VoiceRequest) -> bool:
    return not model.unloadable and model.speaks(request.language) and model.has_voice(request.voice)


def _substitute(worker: WorkerView, language: str) -> ModelView | None:
    """A resident model, preferably one that speaks the language, and then the worker's default."""
    resident = [model for model in worker.models if model.resident]
    return max(resident, key=lambda model: (model.speaks(language), model.is_default), default=None)


def _no_worker(workers: Sequence[WorkerView]) -> VoiceplaneError:
    if not workers:
        why = "none is known: start one, or set discovery.workers or discovery.namespaces"
    elif not any(worker.connected for worker in workers):
        why = f"none of {', '.join(worker.address for worker in workers)} can be reached: start one"
    elif all(worker.draining or not worker.open for worker in workers if worker.connected):
        why = "all of them are starting or shutting down"
    elif all(worker.barred and not worker.full for worker in workers if worker.connected):
        why = "those that can be reached failed a moment ago, and are retried soon"
    else:
        why = "all of their sessions are in use"
    return unavailable(NO_WORKER, f"no worker takes a session: {why}", retry_after_ms=1000)


def _voice_not_served(models: Sequence[ModelView], request: VoiceRequest) -> VoiceplaneError:
    speaking = [model for model in models if model.model_id == request.model_id or not request.model_id]
    voices = ", ".join(sorted({voice.name for model in speaking for voice in model.voices})) or "none"
    whose = f"the model {request.model_id!r}" if request.model_id else "no model"
    has = "has no" if request.model_id else "has a"
    language = f" in {request.language!r}" if request.language and not request.model_id else ""
    message = f"{whose} {has} voice {request.voice!r}{language}: known voices are {voices}"
    return not_found("voice", message, reason="UNKNOWN_VOICE")


def _not_served(workers: Sequence[WorkerView], request: VoiceRequest) -> VoiceplaneError:
    away = [worker for worker in workers if not worker.takes_sessions and _model(worker, request) is not None]
    if away:
        return _no_worker(away)
    models = [model for worker in workers for model in worker.models]
    known = ", ".join(sorted({model.model_id for model in models})) or "none"
    if request.model_id and not any(model.model_id == request.model_id for model in models):
        message = f"no worker knows the model {request.model_id!r}: known models are {known}"
        return not_found("model", message, reason=UNKNOWN_MODEL)
    named = [model for model in models if request.model_id and model.model_id == request.model_id]
    if named and all(model.unloadable for model in named):
        message = f"no worker can load the model {request.model_id!r}: {named[0].message or named[0].reason}"
        return failed_precondition(UNLOADABLE_MODEL, message, field="model")
    if request.voice:
        return _voice_not_served(models, request)
    if request.language:
        message = f"no model speaks {request.language!r}: known models are {known}"
        return not_found("language", message, reason="UNKNOWN_LANGUAGE")
    return unavailable(NO_MODEL, "no worker has a default model: name a model", retry_after_ms=1000)
