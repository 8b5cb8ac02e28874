"""Put LiveKit's browser client beside the page: one file, of one version, checked against npm's integrity.

It is committed, so that neither an installation nor a browser needs a package registry.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "2.23.0"
INTEGRITY = "sha512-j9Kg86nJjBjNFUD+ukp2jwMCGa0k+YD5gU//RzAM+ZY3pbG631QCte7fQjwqWMmtBzhDJL9nKYuOLMv/9IbAxg=="
SHA256 = "1ab2f52f08867d02a4fad0550d1ed528dd1113661f2447007b5c5f80afceeb0e"
TARGET = (
    Path(__file__).parents[1] / "orchestrator" / "voiceplane_orchestrator" / "web" / "assets" / "livekit-client.umd.js"
)


def main() -> None:
    """Fetch, check and write it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", f"livekit-client@{VERSION}"], cwd=folder, check=True, capture_output=True)
        archive = Path(folder) / f"livekit-client-{VERSION}.tgz"
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise SystemExit(f"livekit-client {VERSION} has the integrity {found}, and {INTEGRITY} is expected")
        with tarfile.open(archive) as packed:
            member = packed.extractfile("package/dist/livekit-client.umd.js")
            assert member is not None  # noqa: S101 - a regular file
            script = member.read().decode()
    # Its map is not beside it, and a browser would ask for it.
    TARGET.write_text(re.sub(r"//# sourceMappingURL=.*$", "", script), encoding="utf-8")


if __name__ == "__main__":
    main()
