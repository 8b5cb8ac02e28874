"""Turn-taking: end of turn and barge-in."""
