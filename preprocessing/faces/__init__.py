"""Who is in the picture: landmarks, tracks, crops, tokens of expression."""
