"""The text of an utterance: kept, so that any number of workers may read it from any place."""

from __future__ import annotations

import asyncio

from voiceplane_orchestrator.tts.text_buffer import TextBuffer

from tests.support.clock import settle


class Source:
    """Text that arrives when a test says so; no generator, so that nothing closes it but its reader."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.closed = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> str:
        part = await self.parts.get()
        if part is None:
            raise StopAsyncIteration
        if isinstance(part, Exception):
            raise part
        return part

    async def aclose(self) -> None:
        self.closed = True


async def collect(journal: TextBuffer, start: int) -> str:
    return "".join([text async for text in journal.read(start)])


async def test_a_reader_gets_what_has_arrived_and_then_what_arrives() -> None:
    source, journal = Source(), TextBuffer()
    filling = asyncio.create_task(journal.fill(source))
    source.parts.put_nowait("One ")
    await settle()
    reader = aiter(journal.read(0))
    assert await anext(reader) == "One "
    coming = asyncio.ensure_future(anext(reader, None))
    await settle()
    assert not coming.done()
    source.parts.put_nowait("two.")
    assert await coming == "two."
    source.parts.put_nowait(None)
    assert await anext(reader, None) is None
    await filling


async def test_a_second_reader_begins_at_the_given_offset() -> None:
    source, journal = Source(), TextBuffer()
    for part in ("One two", " three", None):
        source.parts.put_nowait(part)
    await journal.fill(source)
    assert await collect(journal, 0) == "One two three"
    assert await collect(journal, 4) == "two three"
    assert await collect(journal, 13) == ""


async def test_readers_at_once_all_get_the_whole_text() -> None:
    source, journal = Source(), TextBuffer()
    filling = asyncio.create_task(journal.fill(source))
    reading = [asyncio.create_task(collect(journal, 0)) for _ in range(2)]
    for part in ("a", "b", "c", None):
        source.parts.put_nowait(part)
        await settle()
    assert await asyncio.gather(*reading) == ["abc", "abc"]
    await filling


async def test_a_source_that_fails_ends_the_text_and_what_had_arrived_stays() -> None:
    source, journal = Source(), TextBuffer()
    failure = RuntimeError("the model went away")
    for part in ("One.", failure):
        source.parts.put_nowait(part)
    await journal.fill(source)
    assert await collect(journal, 0) == "One."
    assert journal.complete
    assert journal.error is failure


async def test_giving_up_closes_the_source_and_releases_the_readers() -> None:
    source, journal = Source(), TextBuffer()
    filling = asyncio.create_task(journal.fill(source))
    reading = asyncio.create_task(collect(journal, 0))
    source.parts.put_nowait("One")
    await settle()
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    assert source.closed
    assert await reading == "One"
