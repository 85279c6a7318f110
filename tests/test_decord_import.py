"""decord and torch in one process."""

import subprocess
import sys

CODE = """
import preprocessing.media.frames
import torch, torchaudio
maps = open("/proc/self/maps").read() if __import__("pathlib").Path("/proc/self/maps").exists() else ""
assert "libnvblas" not in maps
for count in (5_000, 50_000):
    torchaudio.transforms.Resample(18, 20)(torch.randn(count))
"""


def test_torch_works_after_decord():
    subprocess.run([sys.executable, "-c", CODE], check=True)
