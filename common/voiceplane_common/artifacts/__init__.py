"""Remote files: fetched, verified by digest, and kept in a content-addressed cache."""

from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.fetching import fetch, find

__all__ = ["digest", "fetch", "find"]
