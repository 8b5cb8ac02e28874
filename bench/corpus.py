"""What is said in the benches: single sentences of about 1, 3, 6 and 12 seconds of speech."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence.

    Attributes:
        name: Its nominal length, as in the tables.
        words: What is said.
    """

    name: str
    words: str


TEXTS = (
    Text("1 s", "That sounds good to me."),
    Text("3 s", "The train to the coast leaves from platform four in ten minutes."),
    Text(
        "6 s",
        "If you turn left at the old bakery, you will see the station across the square, right behind the two tall "
        "trees that bloom in May.",
    ),
    Text(
        "12 s",
        "When the storm had finally passed and the harbour was calm again, the fishermen went down to their boats, "
        "mended the nets that the wind had torn, shared what was left of the bread and the coffee, and waited "
        "together for the first light of the morning to show them the way out.",
    ),
)

# Without a comma, so that nothing helps to find a short first clause but the words themselves.
UNBROKEN = Text(
    "6 s, no comma",
    "The engineer explained that the pressure inside the second boiler had been rising since the early morning "
    "because a small valve near the entrance was stuck.",
)

CONVERSATION = (
    "Certainly, I can help you with that. The next bus to the museum leaves at a quarter past nine from the main "
    "square, and it takes about twenty minutes. Would you like me to book two seats for you?"
)
