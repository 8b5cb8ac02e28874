"""A real stack under people and chaos for as long as told: `just soak SECONDS`; see docs/explanation/endurance.md."""
