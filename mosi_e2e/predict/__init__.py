"""`python -m mosi_e2e.predict`: the sentiment of any video, over time, with what it rests on."""
