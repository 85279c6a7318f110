"""The documentation: every command is understood, what is cheap is run, and the site is whole."""

import importlib.util
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from kit.doc_pages import (
    COMMANDS,
    NOT_RUN,
    OURS,
    PARSED_ONLY,
    TESTS,
    TEXTS,
    list_run,
    run_page,
    run_scripts,
)
from kit.made_cache import make_cache
from kit.made_features import make_tables, write_archive, write_pickle
from kit.made_predictor import write_run, write_video
from kit.plugged import plug
from kit.typed_commands import (
    FRAGMENTS,
    ROOT,
    list_commands,
    list_scripts,
    run_command,
    split_line,
    stand_in_project,
    understand,
)
from safetensors.numpy import load_file

from mosi_e2e.models.encoders import encoder_class


def describe(value: object) -> str:
    return value if isinstance(value, str) else value.line[:70]


@pytest.mark.parametrize(("page", "command"), OURS, ids=describe)
def test_every_command_is_understood(page, command):
    """By its own parser and configuration loader: options, recipes, keys and values are right."""
    if "--config model/" in command.line:  # which the command before it writes: run in test_docs_run.py
        assert command.text in list_run()
    else:
        understand(command)


def test_commands_are_found_wherever_they_stand():
    """In blocks, in scripts for a batch system, in indented lines and in running text."""
    text = """
Type `python -m a.b c`, which `a` is not, or
`OMP_NUM_THREADS=1 python d.py
--e`; see `accelerate launch`.

    python -m f --g    # why

```sh
#SBATCH --gres=gpu:4
x=""; [ -f y ] && x=--resume
srun accelerate launch -m h $x
```

```bash
A=1 .venv/bin/python -m i \\
  --j
```

```python
python = `python -m k l`
```
"""
    found = [command.text for command in list_commands(text)]
    wanted = ["python -m a.b c", "python d.py --e", "python -m f --g", "accelerate launch -m h"]
    assert found == [*wanted, "python -m i --j"]


@pytest.mark.parametrize(
    "line",
    [
        "python -m preprocessing facs.size=96",
        "python -m preprocessing behaviour.backend=openfaces",
        "python -m mosi_e2e.evaluate runs/a --splits test",
        "python -m mosi_e2e.no_such_command",
        "accelerate launch -m mosi_e2e.train --config configs/no_such_recipe.yaml",
        "accelerate launch -m mosi_e2e.train 'model.crossmodal.streams=[touch]'",
        "accelerate launch --config_file configs/accelerate/none.yaml -m mosi_e2e.train",
        "python -m mosi_e2e.ablate --config configs/ablations.yaml sees=3",
    ],
)
def test_a_wrong_command_is_found_out(line):
    with pytest.raises(AssertionError):
        understand(split_line(line))


def test_commands_of_other_programs_are_known():
    others = [command for _, command in COMMANDS if not command.module]
    for command in others:
        if command.words[0] == "make":
            subprocess.run(["make", "--dry-run", command.words[1]], cwd=ROOT, check=True, capture_output=True)
        else:
            assert command.text in NOT_RUN, command.line


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if list_scripts(text)])
def test_every_script_compiles(page):
    for script in list_scripts(TEXTS[page]):
        compile(script, page, "exec")


@pytest.fixture
def workplace(tmp_path):
    """A working directory with the recipes and small caches where the pages expect them."""
    cache = make_cache(tmp_path / "made")
    for name in ("sample", "mosi"):
        shutil.copytree(cache, tmp_path / "cache" / name)
    with stand_in_project(tmp_path):
        yield tmp_path


def test_the_page_about_the_cache_is_right(workplace, capsys):
    names = run_scripts("cache.md")
    assert names["picture"].shape == (32, 32, 3)
    assert "'speech_is_pad': (2, " in capsys.readouterr().out
    run_page("cache.md")
    assert (workplace / "mosi.pack.pkl").is_file() and (workplace / "shards" / "mosi" / "index.csv").is_file()


def test_the_page_about_the_pack_is_right(workplace):
    run_page("notebook.md")
    names = run_scripts("notebook.md")
    assert names["arrays"]["behaviour"].shape[1] == 62
    assert (workplace / "runs" / "late_fusion" / "metrics_valid.json").is_file()


def test_the_page_about_metrics_is_right(capsys):
    names = run_scripts("metrics.md")
    assert names["scores"]["acc2_has0"] == pytest.approx(4 / 6)  # -0.5 and 0.0 are on the wrong side
    assert names["scores"]["acc2_non0"] == pytest.approx(4 / 5)
    assert "p_value" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stream_and_an_encoder_of_ones_own_work_as_the_page_says(workplace, capsys):
    """The stage in between: test_own_stage.py."""
    loudness, _, encoder = list_scripts(TEXTS["own_stream.md"])
    exec(compile(loudness, "loudness.py", "exec"), {})
    assert "loudness: " in capsys.readouterr().out
    with plug(workplace / "recurrent.py", encoder):
        run_page("own_stream.md")
        check_encoder(encoder_class("expression"))
    weights = workplace / "runs" / "with_loudness" / "best" / "model.safetensors"
    assert weights.is_file()
    table = (workplace / "runs" / "with_loudness" / "predictions_test.csv").read_text()
    assert "loudness" in table.splitlines()[0]
    stored = load_file(workplace / "runs" / "recurrent" / "best" / "model.safetensors")
    assert any("recurrent" in name for name in stored)


def check_encoder(kind: type) -> None:
    """A clip gives the same tokens alone and in a padded batch, and none where there is padding."""
    torch.manual_seed(0)
    encoder = kind(kind.config_class(width=8), 3).eval()
    values, time = torch.randn(2, 6, 3), torch.arange(6.0).expand(2, 6)
    is_pad = torch.arange(6) >= torch.tensor([6, 4])[:, None]
    both = encoder(values, time, is_pad)
    alone = encoder(values[1:, :4], time[1:, :4], is_pad[1:, :4])
    torch.testing.assert_close(both.values[1, :4], alone.values[0])
    assert not both.values[1, 4:].any()
    assert encoder(values, time, torch.ones_like(is_pad)).values.isfinite().all()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pages_about_first_steps_and_experiments_run(workplace):
    """From a sample set of few clips on."""
    shutil.rmtree(workplace / "cache" / "sample")
    write_video(workplace / "video.mp4", 2)
    run_page("getting_started.md")
    run_page("experiments.md")
    assert (workplace / "out" / "video.html").is_file() and (workplace / "model" / "README.md").is_file()
    assert (workplace / "cache" / "timing" / "index.csv").is_file()
    assert (workplace / "report" / "index.html").is_file()
    assert (workplace / "explore" / "index.html").is_file()
    assert (workplace / "runs" / "sample_late_fusion_repeat").is_dir()


@pytest.mark.slow
def test_the_measurements_that_need_no_more_run(workplace, capsys):
    write_run(workplace / "runs" / "sample_crossmodal", workplace / "cache" / "sample")
    write_video(workplace / "clip.mp4", 2)
    run_page("demo.md")
    run_page("benchmarks/RESULTS.md")
    run_page("preprocessing_speed.md")
    run_page("timing.md")
    assert "decode + augment" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_about_own_data_runs(workplace, sample_cache):
    raw = sample_cache.parent / "raw"
    clips = sorted((raw / "clips").glob("*.mp4"))[:6]
    rows = [f"{clip},v{n},1,{n - 2.5},{('train', 'valid', 'test')[n % 3]}" for n, clip in enumerate(clips)]
    folder = workplace / "data" / "mine"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("path,video_id,clip_id,label,split\n" + "\n".join(rows) + "\n")
    table = "label,score,video_id\n1,0.5,a\n-1,-0.2,a\n0,0.1,b\n2,1.5,c\n-2,-1,d\n"
    for name in ("mine.csv", "train.csv"):
        (workplace / name).write_text(table)
    write_pickle(workplace / "unaligned_50.pkl", make_tables())
    write_archive(workplace / "mmmo_seq.npz", make_ratings())
    first = next(c for c in list_commands(TEXTS["getting_started.md"]) if "sample_crossmodal" in c.line)
    assert run_command(first) == 0
    run_page("own_data.md")
    assert (workplace / "out" / "mine" / "predictions_test.csv").is_file()
    assert (workplace / "metrics.json").is_file()


def make_ratings() -> dict:
    """Feature tables with labels from 1 to 5."""
    tables = make_tables()
    for table in tables.values():
        table["regression_labels"] = 3 + np.round(2 / 3 * table["regression_labels"])
    return tables


def test_every_module_and_file_that_is_named_exists():
    """Also in running text, and in the README."""
    for text in TEXTS.values():
        for module in re.findall(r"-m ((?:mosi_e2e|preprocessing)[\w.]*\w)", text):
            assert importlib.util.find_spec(module), module
        named = re.findall(r"\b((?:benchmarks|configs|docs|notebooks|scripts|tests)/[\w/]+\.\w+)", text)
        assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_command_runs_or_is_listed_with_a_reason():
    """Neither a command nor an entry of the list can come or stay unnoticed."""
    typed = {command.text for _, command in COMMANDS}
    assert {command.text for _, command in OURS} - NOT_RUN - list_run() == set()
    assert NOT_RUN - typed == set()
    assert len(NOT_RUN) == sum(map(len, PARSED_ONLY.values())), "an entry is twice in parsed_only.yaml"
    told = " ".join(" ".join(TEXTS.values()).split())
    assert [line for line in FRAGMENTS if f"`{line}`" not in told] == []


@pytest.mark.parametrize("reason", [reason for reason in PARSED_ONLY if ".py" in reason])
def test_a_test_that_a_reason_names_is_about_those_commands(reason):
    texts = [(TESTS / name).read_text() for name in re.findall(r"test_\w+\.py", reason)]
    for command in PARSED_ONLY[reason]:
        what = split_line(command).module.removesuffix(".py").split("/")[-1].split(".")[-1]
        assert any(re.search(rf"\b{what}\b", text) for text in texts), command
