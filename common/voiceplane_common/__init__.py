"""What every Voiceplane program shares. Imports nothing of the programs themselves."""
