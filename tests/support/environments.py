"""The environments of families whose libraries the repository's own does not have.

Each is made once for what the lock says of it, in the user's cache, and runs the code of the checkout that it is called
from. `python -m tests.support.environments csm` runs the contract suite of a family in its own, and
`python -m tests.support.environments csm run -m MODULE` another program.
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

ROOT = Path(__file__).parents[2]
FAMILIES = ("csm", "xtts", "parler", "cosyvoice2", "spark", "melo")
"""Families with an environment of their own: extras of voiceplane-worker that tool.uv.conflicts keeps apart."""
CODE = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("proto", "common", "client", "worker", "."))}
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")
RESULTS = ("PASSED ", "FAILED ", "ERROR ", "SKIPPED ", "XFAIL ", "XPASS ")
SUITES = ("tests/contract/test_adapters.py", "tests/contract/test_sessions.py", "tests/contract/families")


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


def environment(family: str) -> Path:
    """The family's Python, after it has been installed if it is not there. Blocking, up to minutes.

    Raises:
        subprocess.CalledProcessError: uv can't install it; its output says why.
    """
    wanted = ["--locked", "--package", "voiceplane-worker", "--extra", family, "--group", "contract"]
    wanted += ["--no-default-groups"]
    packages = _uv("export", *wanted, "--no-emit-workspace", "--no-header")
    digest = hashlib.sha256(packages.encode()).hexdigest()[:12]
    folder = _cache() / f"{family}-{digest}"
    stamp = folder / "complete"
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / f"{family}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("sync", *wanted, "--no-install-workspace", UV_PROJECT_ENVIRONMENT=str(folder))
            stamp.touch()
    return folder / "bin" / "python"


def run(family: str, *arguments: str) -> Outcome:
    """Run pytest in a family's environment, on the family's tests.

    Args:
        family: Its name.
        *arguments: For pytest, besides.
    """
    command = [str(environment(family)), *PYTEST, "-rpfEsxX", *SUITES, *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | CODE,
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
    """Run a family's suite as a person asks for it, with pytest's own output."""
    family, *arguments = sys.argv[1:]
    if family not in FAMILIES:
        sys.exit(f"{family} has no environment of its own: use one of {', '.join(FAMILIES)}")
    python = environment(family)
    paths = [each for each in arguments if (ROOT / each.partition("::")[0]).exists()]
    command = [str(python), *PYTEST, *arguments, *(() if paths else SUITES)]
    if arguments[:1] == ["run"]:  # something else than tests
        command = [str(python), *arguments[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=os.environ | CODE, check=False).returncode)


if __name__ == "__main__":
    main()
