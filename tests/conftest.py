"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# A person's runs explore; CI's decide, so each of them looks at the same examples.
settings.register_profile("explore", print_blob=True)
settings.register_profile("decide", derandomize=True, print_blob=True)
settings.load_profile("decide" if os.environ.get("CI") else "explore")
