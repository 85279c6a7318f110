"""What the import of mediapipe leaves behind."""

import subprocess
import sys

CHECK = """
import sys
from preprocessing.faces import TrackConfig, load_landmarker
import numpy as np
assert load_landmarker(TrackConfig())(np.zeros((64, 64, 3), np.uint8), None) == []
assert not any(name.startswith("matplotlib") for name in sys.modules)
import matplotlib.pyplot
assert callable(matplotlib.pyplot.figure)
"""


def test_matplotlib_is_not_loaded_and_can_be_afterwards():
    ended = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_matplotlib_that_is_loaded_already_stays():
    loaded = CHECK.replace("assert not any", "assert any")
    check = f"import matplotlib.pyplot as plt\n{loaded}\nassert plt is matplotlib.pyplot"
    ended = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
