"""One media file, opened once: packets, clock, frames, sound."""
