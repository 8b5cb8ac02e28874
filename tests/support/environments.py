"""The environments of families that have a lock of their own: families/NAME/uv.lock.

Each is made once for what its lock says, in the user's cache, and runs the code of the checkout that it is called
from. `python -m tests.support.environments NAME` runs the contract suite of a family in its own, and
`python -m tests.support.environments NAME run -m MODULE` another program.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from families.manifests import read_manifests
from tests.support.plugins import write_metadata

ROOT = Path(__file__).parents[2]
MANIFESTS = read_manifests(ROOT / "families")
FAMILIES = tuple(name for name, manifest in MANIFESTS.items() if manifest.has_own_environment)
CODE = ("proto", "common", "client", "worker", "families/kit/src", ".")
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")
RESULTS = ("PASSED ", "FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "XPASS ")
SUITES = ("tests/contract/test_adapters.py", "tests/contract/test_sessions.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run of pytest says.

    Attributes:
        passed: The tests that passed.
        not_passed: Tests that failed, erred or were skipped, and why.
        output: What it printed.
        code: Its exit code.
    """

    passed: tuple[str, ...]
    not_passed: tuple[str, ...]
    output: str
    code: int

    @property
    def summary(self) -> tuple[str, ...]:
        """The lines that say what was run and what was left out."""
        return tuple(line.strip("= ") for line in self.output.splitlines() if " passed" in line or "need a GPU" in line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A family's environment.

    Attributes:
        python: Its interpreter.
        variables: The environment variables by which that runs the code of this checkout.
    """

    python: Path
    variables: dict[str, str]


def environment(family: str) -> Environment:
    """The family's environment, after it has been installed if it is not there. Blocking, up to minutes.

    Raises:
        subprocess.CalledProcessError: uv can't install it; its output says why.
    """
    manifest = MANIFESTS[family]
    wanted = ["--project", str(manifest.folder), "--locked", "--group", "test", "--no-default-groups"]
    packages = _uv("export", *wanted, "--no-emit-local", "--no-header")
    digest = hashlib.sha256(packages.encode()).hexdigest()[:12]
    folder = _cache() / f"{family}-{digest}"
    stamp = folder / "complete"
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / f"{family}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("sync", *wanted, "--no-install-local", UV_PROJECT_ENVIRONMENT=str(folder))
            stamp.touch()
        # What is not installed has no entry points but those that are written here.
        metadata = folder / "checkouts" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
        for project in (ROOT / "worker", manifest.folder):
            write_metadata(metadata, (project / "pyproject.toml").read_text(encoding="utf-8"))
    path = [metadata, manifest.source, *(ROOT / part for part in CODE)]
    return Environment(
        python=folder / "bin" / "python",
        variables={"PYTHONPATH": os.pathsep.join(map(str, path))},
    )


def suites(family: str) -> list[str]:
    """The tests of a family: what all promise, and its own."""
    return [*SUITES, f"families/{family}/tests"]


def run(family: str, *arguments: str) -> Outcome:
    """Run pytest in a family's environment, on the family's tests.

    Args:
        family: Its name.
        *arguments: For pytest, besides.
    """
    place = environment(family)
    command = [str(place.python), *PYTEST, "-rpfEsxX", *suites(family), *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | place.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    results = [line.partition(" ") for line in done.stdout.splitlines() if line.startswith(RESULTS)]
    return Outcome(
        passed=tuple(name for result, _, name in results if result == "PASSED"),
        not_passed=tuple(f"{result} {name}" for result, _, name in results if result != "PASSED"),
        output=done.stdout,
        code=done.returncode,
    )


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "voiceplane" / "environments"


def _uv(*arguments: str, **variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        [os.environ.get("UV", "uv"), "--quiet", *arguments],
        cwd=ROOT,
        env=clean | variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def main() -> None:
    """Run a family's suite as a user runs it, with pytest's own output."""
    family, *arguments = sys.argv[1:]
    if family not in FAMILIES:
        sys.exit(f"{family} has no environment of its own: use one of {', '.join(FAMILIES)}")
    place = environment(family)
    paths = [each for each in arguments if (ROOT / each.partition("::")[0]).exists()]
    command = [str(place.python), *PYTEST, *arguments, *(() if paths else suites(family))]
    if arguments[:1] == ["run"]:  # something else than tests
        command = [str(place.python), *arguments[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ | place.variables, check=False).returncode)


if __name__ == "__main__":
    main()
