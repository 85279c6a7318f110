"""Small shards of a made cache."""

from preprocessing.shards import main

SHARD_MB = "0.2"


def make_shards(cache, out, *words):
    assert main([str(cache), "--out", str(out), "--shard-mb", SHARD_MB, *words]) == 0
    return out
