"""Which process sees which clip when: the same updates whatever the processes and micro-batches."""

from collections import Counter
from math import ceil

import numpy as np
import pytest

from mosi_e2e.data.sampler import SweepSampler, UpdateSampler

WORLDS = (1, 2, 3)


def steps_of(count, batch_size, micro_batch, world, epoch=0, seed=0):
    """Per process, the list of its micro-batches of an epoch."""
    samplers = [UpdateSampler(count, batch_size, micro_batch, seed, rank, world) for rank in range(world)]
    for sampler in samplers:
        sampler.epoch = epoch
    return samplers, [list(sampler) for sampler in samplers]


def updates_of(samplers, steps):
    """The clips of each update, over all processes and micro-batches."""
    per = samplers[0].steps_per_update
    merged = [[pick for part in parts for pick in part] for parts in zip(*steps, strict=True)]
    return [[pick for part in merged[i : i + per] for pick in part] for i in range(0, len(merged), per)]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("micro_batch", [0, 1, 2, 3, 50])
@pytest.mark.parametrize(("count", "batch_size"), [(23, 6), (24, 6), (5, 16), (1, 4), (7, 7), (13, 1)])
def test_each_clip_once_weights_of_one_and_equal_steps(count, batch_size, micro_batch, world):
    samplers, steps = steps_of(count, batch_size, micro_batch, world)
    assert len({len(own) for own in steps}) == 1
    assert all(len(sampler) == len(own) for sampler, own in zip(samplers, steps, strict=True))
    updates = updates_of(samplers, steps)
    assert len(updates) == samplers[0].updates_per_epoch == ceil(count / batch_size)
    assert len(steps[0]) == len(updates) * samplers[0].steps_per_update
    real = Counter(pick.index for update in updates for pick in update if pick.weight)
    assert real == Counter(range(count))
    for update in updates:
        weights = [pick.weight for pick in update if pick.weight]
        assert sum(weights) == pytest.approx(1.0) and len(set(weights)) == 1
    for own in steps:
        assert all(1 <= len(part) <= max(1, micro_batch or batch_size) for part in own)
        assert all(0 <= pick.index < count for part in own for pick in part)


def test_updates_do_not_depend_on_processes_and_micro_batches():
    def clips(*args):
        return [
            frozenset(p.index for p in update if p.weight) for update in updates_of(*steps_of(23, 6, *args))
        ]

    wanted = clips(0, 1)
    assert all(clips(micro, world) == wanted for micro in (1, 2, 4) for world in WORLDS)


def test_order_depends_on_seed_and_epoch_alone():
    def order(**changes):
        return [pick.index for part in steps_of(20, 4, 0, 1, **changes)[1][0] for pick in part]

    assert order() == order()
    assert len({tuple(order(epoch=epoch, seed=seed)) for epoch in range(3) for seed in range(2)}) == 6
    assert order() != sorted(order())


def test_the_draw_is_the_epoch():
    for epoch in (0, 4):
        _, steps = steps_of(5, 2, 0, 1, epoch=epoch)
        assert {pick.draw for part in steps[0] for pick in part} == {epoch}


@pytest.mark.parametrize("world", WORLDS)
def test_a_start_in_mid_epoch_gives_the_rest(world):
    samplers, whole = steps_of(23, 6, 2, world)
    for sampler, steps in zip(samplers, whole, strict=True):
        sampler.start_update = 2
        assert list(sampler) == steps[2 * sampler.steps_per_update :]
        assert len(sampler) == len(list(sampler))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("count", "batch_size"), [(9, 4), (7, 16), (1, 1), (12, 3), (2, 5)])
def test_a_sweep_takes_each_clip_once_in_batches_of_one_size(count, batch_size, world):
    samplers = [SweepSampler(count, batch_size, rank, world) for rank in range(world)]
    batches = [list(sampler) for sampler in samplers]
    assert len({len(own) for own in batches}) == 1 and len(batches[0]) == len(samplers[0])
    assert len({len(part) for own in batches for part in own}) == 1
    assert len(batches[0][0]) <= batch_size
    picks = [pick for own in batches for part in own for pick in part]
    assert Counter(pick.index for pick in picks if pick.weight) == Counter(range(count))
    assert {pick.draw for pick in picks} == {-1}
    assert all(pick.weight in (0.0, 1.0) for pick in picks)


def test_one_process_sweeps_in_order():
    assert [pick.index for part in SweepSampler(10, 4, 0, 1) for pick in part if pick.weight] == list(
        range(10)
    )


def test_buckets_hold_clips_of_similar_length_and_every_clip_once():
    lengths = np.random.default_rng(0).uniform(0.5, 20, size=103)
    mixed, sorted_ = (UpdateSampler(103, 8, 0, 3, 0, 1, lengths=given) for given in (None, lengths))
    for epoch in (0, 1):
        mixed.epoch = sorted_.epoch = epoch
        clips = [pick.index for part in sorted_ for pick in part]
        assert sorted(clips) == list(range(103))
        assert [pick.index for part in sorted_ for pick in part] == clips
    waste = [
        sum(lengths[update].max() * len(update) for update in sampler.list_updates())
        for sampler in (mixed, sorted_)
    ]
    assert waste[1] < 1.1 * lengths.sum() < waste[0]
    longest = [lengths[update].max() for update in sorted_.list_updates()]
    assert longest != sorted(longest)  # short and long updates alternate


def test_it_goes_on_where_it_was():
    sampler = UpdateSampler(50, 8, 3, 1, 0, 2, lengths=np.arange(50))
    whole = list(sampler)
    sampler.start_update = 3
    assert list(sampler) == whole[3 * sampler.steps_per_update :] and len(sampler) == len(list(sampler))
    sampler.start_update = sampler.updates_per_epoch
    assert list(sampler) == []


@pytest.mark.parametrize("world", [1, 2])
def test_a_sweep_by_length_sees_every_clip_once_and_like_beside_like(world):
    lengths = np.random.default_rng(0).uniform(1, 30, 23)
    samplers = [SweepSampler(23, 4, rank, world, lengths) for rank in range(world)]
    batches = [[pick.index for pick in part if pick.weight] for sampler in samplers for part in sampler]
    assert sorted(index for batch in batches for index in batch) == list(range(23))
    assert batches[0][0] == lengths.argmax()
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches if batch])
    assert spread < 6 < np.mean([np.ptp(lengths[first : first + 4]) for first in range(0, 23, 4)])
