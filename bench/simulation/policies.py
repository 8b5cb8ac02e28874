"""Who serves a session: the orchestrator's own code, or chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from voiceplane_orchestrator.routing.score import RoutingDecision, choose
from voiceplane_orchestrator.routing.voice_request import VoiceRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from voiceplane_orchestrator.routing.worker_view import WorkerView

Policy = Literal["balanced", "least_loaded", "random"]
POLICIES: tuple[Policy, ...] = ("balanced", "least_loaded", "random")


def route(
    pools: Sequence[Sequence[WorkerView]],
    pool: int,
    model_id: str,
    *,
    key: str,
    policy: Policy,
    avoid: Collection[str],
    chance: np.random.Generator,
) -> RoutingDecision:
    """Choose a worker.

    Only the pool's workers know its models, so that the others matter only as substitutes. To leave them out until then
    gives the same choice at a twentieth of the time.

    Args:
        pools: What is known of each pool's workers.
        pool: The model's.
        model_id: What is wanted.
        key: The session's.
        policy: Of the orchestrator; "random" takes any worker that has the model resident and takes sessions.
        avoid: Addresses that have just failed this session.
        chance: For "random".

    Raises:
        VoiceplaneError: As score.choose.
    """
    if policy == "random":
        able = [view for view in pools[pool] if _can_begin(view, model_id) and view.address not in avoid]
        if able:
            return RoutingDecision(address=able[int(chance.integers(len(able)))].address, model_id=model_id)
    scored = "balanced" if policy == "random" else policy
    wanted = VoiceRequest(model_id=model_id)
    choice = choose(pools[pool], wanted, session_key=key, policy=scored, avoid=avoid)
    if _begins_at_once(choice, pools[pool]):
        return choice
    everyone = [view for views in pools for view in views]
    return choose(everyone, wanted, session_key=key, policy=scored, avoid=avoid)


def _can_begin(view: WorkerView, model_id: str) -> bool:
    model = view.model(model_id)
    return view.takes_sessions and model is not None and model.resident


def _begins_at_once(choice: RoutingDecision, views: Sequence[WorkerView]) -> bool:
    if choice.fallback:
        return False
    view = next(view for view in views if view.address == choice.address)
    return _can_begin(view, choice.model_id)
