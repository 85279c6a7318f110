"""The web page: a video goes up, its score comes back, and nothing is kept.

`limits` what one request may cost; `guard` refuses before anything is read; `intake` how a file comes in;
`uploads` where files lie and when they go; `worker` and `scoring` the model in a process of its own, one
request at a time; `view` a result as what the page shows; `app` the page; `server` its port; `__main__` the
command.
"""
