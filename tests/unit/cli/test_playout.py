from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from voiceplane_cli.playout import Cursor, PlayoutBuffer, ReplyFrame

SAMPLES = 8


def frame(index: int, *, epoch: int = 1, utterance: int = 1, end: bool = False, samples: int = SAMPLES) -> ReplyFrame:
    start = index * SAMPLES
    pcm = b"".join((epoch * 1000 + start + offset).to_bytes(2, "little") for offset in range(samples))
    return ReplyFrame(epoch=epoch, utterance=utterance, media_time_samples=start, end=end, pcm=pcm)


actions = st.lists(
    st.one_of(st.just("push"), st.just("pause"), st.just("resume"), st.integers(min_value=0, max_value=3 * SAMPLES)),
    max_size=60,
)


@given(actions)
def test_pauses_and_resumes_lose_and_repeat_no_sample(script: list[str | int]) -> None:
    playout, pushed, heard = PlayoutBuffer(), bytearray(), bytearray()
    index = 0
    for action in script:
        if action == "push":
            playout.push(frame(index))
            pushed += frame(index).pcm
            index += 1
        elif action == "pause":
            playout.pause()
        elif action == "resume":
            playout.resume()
        elif isinstance(action, int):
            silent = playout.paused
            pcm = playout.pull(action)
            assert len(pcm) <= 2 * action
            assert not (silent and pcm), "sound in a pause"
            heard += pcm
        assert playout.cursor.media_time_samples == len(heard) // 2
        assert playout.buffered_samples == (len(pushed) - len(heard)) // 2
    playout.resume()
    heard += playout.pull(playout.buffered_samples)
    assert heard == pushed


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["push", "stop", "pull"])), max_size=60))
def test_nothing_of_an_older_epoch_is_ever_heard(script: list[tuple[int, str]]) -> None:
    playout, newest = PlayoutBuffer(), 0
    for epoch, action in script:
        if action == "push":
            assert playout.push(frame(0, epoch=epoch)) == (epoch >= newest)
            newest = max(newest, epoch)
        elif action == "stop":
            playout.stop(epoch=epoch)
            newest = max(newest, epoch)
        else:
            pcm = playout.pull(SAMPLES)
            epochs = {int.from_bytes(pcm[at : at + 2], "little") // 1000 for at in range(0, len(pcm), 2)}
            assert epochs <= {newest}


def test_a_stop_forgets_what_is_buffered_and_keeps_the_cursor() -> None:
    playout = PlayoutBuffer()
    playout.push(frame(0))
    playout.push(frame(1))
    playout.pull(SAMPLES + 3)
    playout.pause()
    playout.stop(epoch=2)
    assert playout.cursor == Cursor(utterance=1, media_time_samples=SAMPLES + 3)
    assert playout.buffered_samples == 0
    playout.push(frame(0, epoch=2, utterance=2))
    assert playout.pull(99) == frame(0, epoch=2, utterance=2).pcm, "the new epoch is paused, or begins in its middle"


def test_a_late_stop_of_the_present_epoch_changes_nothing() -> None:
    playout = PlayoutBuffer()
    playout.push(frame(0, epoch=2))
    playout.stop(epoch=2)
    playout.stop(epoch=1)
    assert playout.pull(SAMPLES) == frame(0, epoch=2).pcm


def test_an_utterance_has_ended_when_its_last_sample_was_heard_and_not_before() -> None:
    playout = PlayoutBuffer()
    playout.push(frame(0, end=True, samples=5))
    playout.pull(4)
    assert not playout.has_ended(1)
    playout.pull(1)
    assert playout.has_ended(1)
    assert playout.cursor.media_time_samples == 5


def test_a_rerouted_utterance_is_played_as_it_comes() -> None:
    playout = PlayoutBuffer()
    playout.push(frame(5))
    playout.push(frame(2))
    assert playout.pull(2 * SAMPLES) == frame(5).pcm + frame(2).pcm
    assert playout.cursor.media_time_samples == 3 * SAMPLES
