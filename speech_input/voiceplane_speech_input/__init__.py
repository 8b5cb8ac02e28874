"""Speech input: voice activity, end of turn, barge-in and speech recognition of one user's audio."""
