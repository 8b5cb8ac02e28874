"""Models in child processes, for families whose memory comes back only when their process ends."""
