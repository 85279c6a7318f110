"""Labels → finished cache: what is to be done, done in parallel, finished."""
