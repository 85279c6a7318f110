"""Training and evaluation on shards are those on the cache."""

import numpy as np
import pytest
from kit.launched import TWO_PROCESSES, launch, one_thread_on_the_processor
from kit.made_cache import make_cache
from kit.made_shards import make_shards
from kit.tiny_models import write_recipe

import mosi_e2e.evaluate
import mosi_e2e.train


@pytest.mark.slow
def test_training_and_evaluation_are_those_of_the_cache(tmp_path, capsys):
    """Weights and predictions to the bit; a run on shards is evaluated on the cache, too."""
    with one_thread_on_the_processor():
        cache = make_cache(tmp_path)
        out = make_shards(cache, tmp_path / "shards")
        write_recipe(tmp_path / "late.yaml", cache, "late_fusion", dropout=0.2, epochs=2)
        recipe = ["--config", str(tmp_path / "late.yaml")]
        assert mosi_e2e.train.main([*recipe, "name=a"]) == 0
        assert mosi_e2e.train.main([*recipe, "name=b", f"data.cache={out}", "data.source=shards"]) == 0
        runs = [tmp_path / "runs" / name for name in "ab"]
        for name in ("best/model.safetensors", "predictions_valid.csv"):
            assert runs[0].joinpath(name).read_bytes() == runs[1].joinpath(name).read_bytes()
        for run in runs:
            assert mosi_e2e.evaluate.main([str(run), "--split", "test"]) == 0
        tables = [(run / "predictions_test.csv").read_bytes() for run in runs]
        assert tables[0] == tables[1]
        assert (
            mosi_e2e.evaluate.main([str(runs[1]), "--cache", str(cache), "--out", str(tmp_path / "c")]) == 0
        )
        assert (tmp_path / "c" / "predictions_test.csv").read_bytes() == tables[0]
        assert mosi_e2e.train.main([*recipe, "name=c", f"data.cache={out}"]) == 2
        assert "data.source=shards" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_of_two_workers_train_and_evaluate_on_shards(tmp_path):
    cache = make_cache(tmp_path)
    out = make_shards(cache, tmp_path / "shards")
    write_recipe(tmp_path / "calm.yaml", cache, "late_fusion", epochs=2)
    words = ["--config", tmp_path / "calm.yaml", "data.workers=2"]
    launch("mosi_e2e.train", *words, "name=one")
    launch(
        "mosi_e2e.train", *words, "name=two", f"data.cache={out}", "data.source=shards", options=TWO_PROCESSES
    )
    one, two = (
        np.genfromtxt(tmp_path / "runs" / name / "predictions_valid.csv", delimiter=",")
        for name in ("one", "two")
    )
    np.testing.assert_allclose(one[1:, 3], two[1:, 3], atol=1e-4)
