"""The tests. A package of its own, so that it comes before the one that a library (gruut) installs by this name."""
