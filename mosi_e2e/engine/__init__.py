"""The training loop and its parts. It knows neither the run folder nor where its batches come from."""
