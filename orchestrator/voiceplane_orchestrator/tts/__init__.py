"""Text to speech through the workers, with failover when a worker fails."""
