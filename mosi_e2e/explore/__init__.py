"""`python -m mosi_e2e.explore`: a cache as a page that one can look at."""
