"""The code of others that is beside the page is what it is said to be."""

from __future__ import annotations

import hashlib

from scripts.vendor_livekit_client import SHA256, TARGET, VERSION


def test_livekits_client_is_the_recorded_file() -> None:
    content = TARGET.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, "run python scripts/vendor_livekit_client.py"
    assert VERSION.encode() in content
