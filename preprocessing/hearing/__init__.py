"""Hears words in a waveform: where somebody speaks, which words, and when each is said."""
