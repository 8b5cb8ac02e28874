"""Files from elsewhere: fetched, checked against their digest, and kept in a content-addressed cache."""

from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.fetching import fetch, find

__all__ = ["digest", "fetch", "find"]
