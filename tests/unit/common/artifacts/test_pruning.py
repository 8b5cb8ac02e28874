"""What pruning removes, and what it never does."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from voiceplane_common.artifacts import digest
from voiceplane_common.artifacts.blobs import Blob, link_or_copy
from voiceplane_common.artifacts.cache import Cache
from voiceplane_common.artifacts.digests import tree_digest
from voiceplane_common.artifacts.holds import hold, is_held, is_pinned, pin, unpin
from voiceplane_common.artifacts.pruning import PARTIAL_AGE_S, Pruned, prune, size_of

from tests.support.artifacts import add_file

NOW = 1_900_000_000.0
DAY_S = 86_400.0
SIZE = 100_000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache")
    made.blobs.prepare()
    return made


def blob(cache: Cache, letter: str, *, age_s: float = 1000 * DAY_S) -> Blob:
    """A file of the cache, not used for so long."""
    content = letter.encode() * SIZE
    sha256 = hashlib.sha256(content).hexdigest()
    path = cache.folder / "blobs" / sha256
    if not path.exists():
        path.write_bytes(content)
    os.utime(path, (NOW - age_s,) * 2)
    return Blob(path=path, sha256=sha256, size_bytes=SIZE)


def artifact(cache: Cache, letters: str, *, age_s: float) -> Path:
    """A folder of the cache with a file for each letter, not used for so long."""
    files = {letter: blob(cache, letter) for letter in letters}
    holder = cache.folder / "artifacts" / tree_digest({name: each.sha256 for name, each in files.items()})
    for name, each in files.items():
        link_or_copy(each.path, holder / "pack" / name)
    os.utime(holder, (NOW - age_s,) * 2)
    return holder / "pack"


def pruned(cache: Cache, **limits: float | bool | None) -> Pruned:
    done = prune(cache, now=lambda: NOW, **limits)  # type: ignore[arg-type]  # the limits of the test
    assert done
    return done


def test_the_longest_unused_go_first_until_the_cache_is_small_enough(cache: Cache) -> None:
    old, middle, new = (artifact(cache, each, age_s=age * DAY_S) for each, age in (("a", 3), ("b", 2), ("c", 1)))
    done = pruned(cache, max_bytes=2 * SIZE)
    assert done.removed == (old.parent.name,)
    assert (done.freed_bytes, done.left_bytes) == (SIZE, 2 * SIZE)
    assert not old.exists()
    assert middle.exists()
    assert new.exists()
    assert size_of(cache) == 2 * SIZE
    assert len(list((cache.folder / "blobs").iterdir())) == 2


def test_what_was_not_used_for_so_long_goes_whatever_the_size(cache: Cache) -> None:
    old, new = artifact(cache, "a", age_s=31 * DAY_S), artifact(cache, "b", age_s=29 * DAY_S)
    assert pruned(cache, unused_s=30 * DAY_S).removed == (old.parent.name,)
    assert new.exists()


def test_a_file_goes_with_the_last_pack_that_has_it(cache: Cache) -> None:
    artifact(cache, "ab", age_s=3 * DAY_S)
    both = artifact(cache, "bc", age_s=2 * DAY_S)
    done = pruned(cache, max_bytes=2 * SIZE)
    assert (len(done.removed), done.freed_bytes, done.left_bytes) == (1, SIZE, 2 * SIZE)
    assert {path.name for path in both.iterdir()} == {"b", "c"}
    assert pruned(cache, max_bytes=0).left_bytes == 0
    assert list((cache.folder / "blobs").iterdir()) == []


def test_a_use_counts_and_a_look_does_not(cache: Cache) -> None:
    used, seen = (artifact(cache, each, age_s=3 * DAY_S) for each in "ab")
    before = used.parent.stat().st_mtime
    cache.find(used.parent.name)
    cache.find(seen.parent.name, use=False)
    assert used.parent.stat().st_mtime != before
    assert seen.parent.stat().st_mtime == before


def test_what_was_used_a_moment_ago_stays(cache: Cache) -> None:
    fresh = artifact(cache, "a", age_s=10)
    done = pruned(cache, max_bytes=0)
    assert (done.kept, done.removed, done.freed_bytes) == ((fresh.parent.name,), (), 0)


def test_a_file_that_a_fetch_has_just_found_stays(cache: Cache) -> None:
    found, lost = blob(cache, "a", age_s=10), blob(cache, "b")
    assert pruned(cache).freed_bytes == SIZE
    assert found.path.exists()
    assert not lost.path.exists()


def test_what_is_held_stays_until_it_is_let_go(cache: Cache) -> None:
    path = artifact(cache, "a", age_s=3 * DAY_S)
    held = hold(cache, path)
    assert held
    assert is_held(cache, path.parent.name)
    assert pruned(cache, max_bytes=0).kept == (path.parent.name,)
    held.release()
    held.release()
    assert pruned(cache, max_bytes=0).removed == (path.parent.name,)


def test_a_hold_ends_with_what_had_it_and_a_copy_holds_nothing(cache: Cache) -> None:
    path = artifact(cache, "a", age_s=3 * DAY_S)
    held = hold(cache, path / "a")
    assert pickle.loads(pickle.dumps(held)) is None  # noqa: S301  # of this test
    del held
    assert not is_held(cache, path.parent.name)
    assert hold(cache, Path("/elsewhere")) is None


def test_what_another_process_holds_stays_until_it_is_killed(cache: Cache) -> None:
    path = artifact(cache, "a", age_s=3 * DAY_S)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom voiceplane_common.artifacts.cache import Cache\n"
        "from voiceplane_common.artifacts.holds import hold\n"
        "held = hold(Cache(Path(sys.argv[1])), Path(sys.argv[2]))\nprint('held', flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(cache.folder), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        assert pruned(cache, max_bytes=0).kept == (path.parent.name,)
        process.kill()
    assert pruned(cache, max_bytes=0).removed == (path.parent.name,)


def test_what_is_kept_on_request_stays(cache: Cache) -> None:
    path = artifact(cache, "a", age_s=300 * DAY_S)
    pin(cache, path.parent.name)
    assert is_pinned(cache, path.parent.name)
    assert pruned(cache, max_bytes=0, unused_s=0).kept == (path.parent.name,)
    unpin(cache, path.parent.name)
    assert pruned(cache, max_bytes=0).removed == (path.parent.name,)


def test_a_dry_run_says_the_same_and_removes_nothing(cache: Cache) -> None:
    artifact(cache, "ab", age_s=3 * DAY_S)
    artifact(cache, "bc", age_s=2 * DAY_S)
    planned = pruned(cache, max_bytes=2 * SIZE, dry_run=True)
    assert size_of(cache) == 3 * SIZE
    assert pruned(cache, max_bytes=2 * SIZE) == planned


def test_parts_that_were_given_up_go_after_a_week(cache: Cache) -> None:
    for name, age_s in (("old", PARTIAL_AGE_S + 1), ("new", PARTIAL_AGE_S - 1)):
        path = cache.folder / "partial" / name
        path.write_bytes(bytes([1]) * SIZE)
        os.utime(path, (NOW - age_s,) * 2)
    done = pruned(cache)
    assert (done.freed_bytes, done.left_bytes) == (SIZE, SIZE)
    assert [path.name for path in (cache.folder / "partial").iterdir()] == ["new"]


def test_what_was_joined_or_unpacked_is_counted_and_removed(cache: Cache) -> None:
    path = add_file(cache, key="joined", content=b"j" * SIZE)
    os.utime(path.parent, (NOW - DAY_S,) * 2)
    assert digest(path) == path.parent.name
    assert pruned(cache, max_bytes=SIZE - 1).freed_bytes == SIZE


def test_a_cache_that_is_not_there_is_small(tmp_path: Path) -> None:
    assert prune(Cache(tmp_path / "none"), max_bytes=0) == Pruned()
    assert not (tmp_path / "none").exists()


def test_one_process_prunes_at_a_time(cache: Cache) -> None:
    with filelock.FileLock(cache.folder / "locks" / "prune"):
        assert prune(cache, max_bytes=0) is None


def test_a_cache_of_an_older_release_holds_as_well(cache: Cache) -> None:
    path = artifact(cache, "a", age_s=3 * DAY_S)
    (cache.folder / "uses").rmdir()
    held = hold(cache, path)
    assert held
    assert pruned(cache, max_bytes=0).kept == (path.parent.name,)
