"""What goes wrong when: a pure function of a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Server = Literal["livekit", "redis"]
Action = Literal["kill", "drain", "load", "unload", "reload", "stuck", Server]

SERVERS: tuple[Server, ...] = ("livekit", "redis")
WORKER_ACTIONS: tuple[Action, ...] = ("kill", "drain")
DECK: tuple[Action, ...] = ("kill", "drain", "kill", "load", "unload", "reload", "stuck")
MAX_DOWN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Something that is done to the stack.

    Attributes:
        at_s: When, from the beginning.
        action: "kill": a worker's SIGKILL and restart. "drain": its SIGTERM and restart. "load", "unload", "reload":
            of a model, through the API. "stuck": clients that ask for minutes of speech and don't read.
            "livekit", "redis": the server's SIGKILL and restart, without what it held.
        target: The worker; empty where none is meant.
        down_s: How long what was ended stays away.
    """

    at_s: float
    action: Action
    target: str = ""
    down_s: float = 0.0


def mishaps(
    *, seed: int, seconds: float, every_s: float, workers: Sequence[str], servers: Sequence[Server] = ()
) -> tuple[Mishap, ...]:
    """What goes wrong within so many seconds.

    Actions are taken in turn from a shuffled list, so that a short run has some of each.

    Args:
        seed: The same one gives the same mishaps.
        seconds: None is later.
        every_s: On average; each interval is between half and one and a half times that.
        workers: That may be ended; none for mishaps of other kinds only.
        servers: That there are to restart.
    """
    chance = random.Random(seed)
    deck = [action for action in DECK if workers or action not in WORKER_ACTIONS]
    deck += servers
    actions = _dealt(deck, chance)
    found = []
    at_s = every_s * chance.uniform(0.5, 1.5)
    while at_s < seconds:
        action = next(actions)
        target = chance.choice(list(workers)) if action in WORKER_ACTIONS else ""
        down_s = chance.uniform(0.0, MAX_DOWN_S) if action in {*WORKER_ACTIONS, *servers} else 0.0
        found.append(Mishap(at_s=at_s, action=action, target=target, down_s=down_s))
        at_s += every_s * chance.uniform(0.5, 1.5)
    return tuple(found)


def _dealt(deck: list[Action], chance: random.Random) -> Iterator[Action]:
    while True:
        yield from chance.sample(deck, len(deck))
