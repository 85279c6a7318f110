"""Training started by the launcher, with one process and with two."""

import json

import pytest
from kit.compared_runs import assert_alike, assert_equal_to_the_bit
from kit.launched import (
    ACCELERATE,
    TWO_PROCESSES,
    free_port,
    launch,
    run,
)
from kit.made_cache import make_cache
from kit.tiny_models import write_recipe

from mosi_e2e.train import main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the cache, a recipe without dropout, and the runs."""
    place = tmp_path_factory.mktemp("place")
    write_recipe(place / "calm.yaml", make_cache(place), "late_fusion", epochs=2)
    return place


@pytest.fixture(scope="module")
def calm(place):
    """A run in this process."""
    assert main(["--config", str(place / "calm.yaml"), "name=calm"]) == 0
    return place / "runs" / "calm"


@pytest.mark.slow
def test_the_launcher_alone_changes_nothing(place, calm):
    launch("mosi_e2e.train", "--config", place / "calm.yaml", "name=launched")
    environment = json.loads((place / "runs" / "launched" / "environment.json").read_text())
    assert environment["processes"] == 1 and environment["mixed_precision"] == "no"
    assert_equal_to_the_bit(calm, place / "runs" / "launched")


LOOK_AT_THE_END = """
import gc
import sys
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel
from mosi_e2e.train import main

def look(accelerator):
    models = [one for one in gc.get_objects() if type(one) is DistributedDataParallel]
    print(f"process {accelerator.process_index} ends with {len(models)} distributed model(s)")
    end(accelerator)

end, Accelerator.end_training = Accelerator.end_training, look
main(sys.argv[1:])
"""


@pytest.mark.slow  # starts two processes
def test_the_distributed_model_is_gone_before_its_group(place):
    """Otherwise the two may wait for each other for ever, too rarely for a test to see."""
    script = place / "look.py"
    script.write_text(LOOK_AT_THE_END)
    words = ("--config", place / "calm.yaml", "name=looked", "optim.epochs=1", "--score", "test")
    options = (*TWO_PROCESSES, "--main_process_port", free_port())
    printed = run(ACCELERATE, "launch", *options, script, *words)
    assert all(f"process {rank} ends with 0 distributed" in printed for rank in range(2)), printed


@pytest.mark.slow  # test_same_however_run.py compares two processes with one
def test_two_processes_train_the_same_model(place, calm):
    launch("mosi_e2e.train", "--config", place / "calm.yaml", "name=two", options=TWO_PROCESSES)
    run = place / "runs" / "two"
    environment = json.loads((run / "environment.json").read_text())
    assert environment["processes"] == 2 and environment["distributed"] == "MULTI_CPU"
    assert environment["command"][1:3] == ["-m", "mosi_e2e.train"]  # as it can be typed
    assert_alike(calm, run)
