"""Programs of Node.js with packages of the npm registry, installed once for each lock file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def installed(folder: Path) -> Path:
    """A copy of a folder, in the user's cache, with what its package-lock.json names. Blocking.

    Raises:
        RuntimeError: npm is missing, or it can't install them.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed: apt-get install npm, or install Node.js from nodejs.org")
    lock = (folder / "package-lock.json").read_bytes()
    copy = platformdirs.user_cache_path("voiceplane") / "node" / hashlib.sha256(lock).hexdigest()[:16]
    copy.mkdir(parents=True, exist_ok=True)
    with FileLock(copy / ".lock"):
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        if not (copy / "complete").exists():
            done = subprocess.run([npm, "ci", "--silent"], cwd=copy, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"npm ci failed: {done.stderr[-2000:] or done.stdout[-2000:]}")
            (copy / "complete").touch()
    return copy
