"""Files from elsewhere: resolved, fetched, checked against their digests, and kept in a content-addressed cache."""

from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.fetching import fetch, find, list_files, pin
from voiceplane_common.artifacts.limits import FetchLimits
from voiceplane_common.artifacts.progress import FetchProgress
from voiceplane_common.artifacts.remote import Pinned

__all__ = ["FetchLimits", "FetchProgress", "Pinned", "digest", "fetch", "find", "list_files", "pin"]
