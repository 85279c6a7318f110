"""What the import of mediapipe leaves behind."""

import subprocess
import sys

import numpy as np
from kit.made_set import PORTRAIT

CHECK = """
import sys
from preprocessing.config import TrackConfig
from preprocessing.faces.landmarks import load_landmarker
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


QUIET = """
import os
from concurrent.futures import ThreadPoolExecutor
from preprocessing.config import TrackConfig
from preprocessing.faces.landmarks import load_landmarker
from preprocessing.faces.mediapipe_import import leave_out_noise
import numpy as np

def look(number):
    return load_landmarker(TrackConfig())(np.full((90, 160, 3), number, np.uint8), None)

with ThreadPoolExecutor(2) as pool:
    assert list(pool.map(look, range(4))) == [[]] * 4
look(4)  # the main thread's ends with the interpreter
"""
LATE = """
import os, sys
from preprocessing.config import TrackConfig
from preprocessing.faces.landmarks import load_landmarker
import numpy as np

class Talkative:  # the native library, which says on some calls what it says on a busy machine
    def __init__(self, library):
        self.library = library

    def __getattr__(self, name):
        return getattr(self.library, name)

    def MpFaceLandmarkerDetectImage(self, *arguments):
        os.write(2, b"W0000 00:00:1795793833.039644   11632 inference_feedback_manager.cc:121] Feedback\\n")
        return self.library.MpFaceLandmarkerDetectImage(*arguments)

landmarker = load_landmarker(TrackConfig())
landmarker._landmarker._lib = Talkative(landmarker._landmarker._lib)
face = np.load(sys.argv[1])
for picture in (np.zeros((64, 64, 3), np.uint8), face):
    landmarker(picture, None)
"""
SPEAKING = """
import os
from preprocessing.faces.mediapipe_import import leave_out_noise

try:
    with leave_out_noise():
        os.write(2, b"W0000 00:00:1795790011.384930     314 graph.cc:181] Sets xnnpack by default.\\n")
        os.write(2, b"E0000 00:00:1795790011.384931     314 graph.cc:182] Cannot open the model.\\n")
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\nINFO: mine\\n")
        raise ValueError("as it was")
except ValueError as error:
    os.write(2, str(error).encode())
os.close(2)
with leave_out_noise():
    pass
"""


def test_a_landmarker_says_nothing_on_standard_error():
    ended = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_landmarker_that_speaks_late_is_quiet_too(tmp_path):
    face = tmp_path / "face.npy"
    np.save(face, PORTRAIT)
    ended = subprocess.run([sys.executable, "-c", LATE, str(face)], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_errors_and_what_others_write_come_through():
    ended = subprocess.run([sys.executable, "-c", SPEAKING], capture_output=True, text=True)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 0 and lines[0].endswith("Cannot open the model.")
    assert lines[1:] == ["INFO: mine", "as it was"]
