"""The notebook: stored with light outputs, every cell compiles, its commands are right, and it runs."""

import json
import os
import re
import shlex
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from kit.typed_commands import ROOT, stand_in_project, understand
from kit.typed_commands import split_line as read_command
from nbclient import NotebookClient

from preprocessing.pretrained.checkpoints import weights_folder

CLIP = ROOT.parent / "shared/data/clips/real/mosi_Oz06ZWiO20M_6.mp4"
NOTEBOOK = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
CELLS = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
SAMPLE = {  # what its variables hold on the sample set
    "quote": shlex.quote,
    "CLIPS": 12,
    "PACK": "cache/sample.pack (1).pkl",  # as a browser names a second download
    "MINE": "my own (1).mp4",
    "VIDEO": "data/sample/my clip's (1).mp4",
    "TRAIN": "accelerate launch --num_processes 1 --mixed_precision no -m mosi_e2e.train",
    "SETTINGS": "out=runs/notebook data.workers=0 optim.epochs=1",
    "RECIPE": {name: f"configs/sample_{name}.yaml" for name in ("late_fusion", "crossmodal")},
}
REAL = SAMPLE | {"RECIPE": {name: f"configs/{name}.yaml" for name in ("late_fusion", "crossmodal")}}
# Only where the notebook runs on Colab.
COLAB_ONLY = ("git clone", "bash scripts/system_libraries.sh", "cp --update")


def list_shell_lines() -> list[str]:
    found = [re.findall(r"^ *!(.+)$", cell.source, re.MULTILINE) for cell in CELLS]
    return [line for lines in found for line in lines]


def fill(line: str, values: dict) -> str:
    """Put values in the place of `{expressions}`, as IPython does."""
    return re.sub(r"\{(.+?)\}", lambda match: str(eval(match.group(1), dict(values))), line)


def test_its_stored_outputs_are_light_and_synthetic():
    """What a reader sees before running anything: of the sample set, without local paths or errors."""
    nbformat.validate(NOTEBOOK)
    assert all(cell.execution_count is None for cell in CELLS)
    outputs = [output for cell in CELLS for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 7 and max(map(len, pictures)) < 80_000
    assert sum(len(str(output)) for output in outputs) < 400_000
    text = str([output for output in outputs if "image/png" not in output.get("data", {})])
    assert "SYNTHETIC" in text and "floor: train_mean" in text
    assert not re.search(r"/(tmp|home|root|work)/|Traceback|\x1b", text)
    assert all(output.output_type != "error" for output in outputs)


def test_every_step_is_short_and_explained():
    assert all(len(cell.source.splitlines()) <= 25 for cell in CELLS)
    text = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
    for step in (
        "Data",
        "Preprocessing",
        "Model definition",
        "Training",
        "Evaluation",
        "Predict on one clip",
    ):
        assert re.search(rf"^## \d\. {step}\b", text, re.MULTILINE), step
    assert "Change runtime type" in text and "Shift+Enter" in text


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_every_cell_compiles(cell):
    compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")


@pytest.mark.parametrize("values", [SAMPLE, REAL], ids=["sample", "real"])
def test_every_command_is_understood(values):
    lines = [line for line in list_shell_lines() if not line.startswith(COLAB_ONLY)]
    assert len(lines) >= 9
    for line in lines:
        command = read_command(fill(line, values))
        named = [value for name in ("PACK", "VIDEO") if name in line for value in [values[name]]]
        assert all(value in command.words for value in named), line
        assert command.module, line
        understand(command)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs_from_top_to_bottom_on_the_sample_set(tmp_path, monkeypatch):
    """Small and short; after each cell its last command must have ended well."""
    for name in [name for name in os.environ if name.startswith(("MOSI_", "ACCELERATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MOSI_CLIPS", "18")
    monkeypatch.setenv("MOSI_EPOCHS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.from_dict(NOTEBOOK)
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search("^ *!", cell.source, re.MULTILINE):
            cell.source += "\nassert not globals().get('_exit_code')"
    with stand_in_project(tmp_path):
        (tmp_path / "notebooks").mkdir()
        resources = {"metadata": {"path": str(tmp_path / "notebooks")}}  # where Jupyter would start it
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    shown = "\n".join(str(cell.get("outputs")) for cell in notebook.cells)
    assert "SYNTHETIC" in shown and "floor: train_mean" in shown
    pictures = [cell.id for cell in notebook.cells if "image/png" in str(cell.get("outputs"))]
    assert len(pictures) >= 7
    for name in ("late_fusion", "crossmodal", "late_fusion_binary", "crossmodal_binary"):
        assert (tmp_path / "runs" / "notebook" / name / "metrics_test.json").is_file()
    if out := os.environ.get("KEEP_NOTEBOOK"):  # to look at
        nbformat.write(notebook, Path(out))


@pytest.mark.slow
@pytest.mark.skipif(
    not (weights_folder() / "whisper-base").is_dir() or not CLIP.is_file(),
    reason="wants the ready model's checkpoints (make ready) and the real clips",
)
def test_the_cell_of_the_ready_model_scores_a_real_clip(tmp_path):
    """On what a user does to it: READY on, VIDEO a clip of his own."""
    score = next(number for number, cell in enumerate(CELLS) if cell.source.startswith("if READY"))
    settings = (
        CELLS[0].source.replace("    False  #", "    True  #").replace('VIDEO = ""', f"VIDEO = {str(CLIP)!r}")
    )
    assert settings.count("True  #") == 1 and str(CLIP) in settings
    cells = [
        settings,
        "import sys\nos.chdir('..')",
        CELLS[score].source,
        "print('status', globals().get('_exit_code'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with stand_in_project(tmp_path):
        (tmp_path / "notebooks").mkdir()
        resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    shown = str([cell.outputs for cell in notebook.cells])
    assert "status 0" in shown and "(decides)" in shown and "words heard" in shown
    assert json.loads((tmp_path / "out/ready" / f"{CLIP.stem}.json").read_text())["score"] < 0
