"""HTTP: the REST API, health, metrics and the page."""
