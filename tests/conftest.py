"""Fixtures that every test module may use."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
SAMPLE_CLIPS, SAMPLE_VIDEOS = 12, 6
# Ray reads its token once a process and keeps it: clusters of the tests, on this machine alone, go without.
os.environ["RAY_AUTH_MODE"] = "disabled"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and labels that stands beside the project on its developers' machines."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the folder ../shared with real clips, which is not part of the project")
    return SHARED


@pytest.fixture(scope="module")
def one_thread():
    """Results of a module's tests that can be compared to the bit, on the processor."""
    from kit.launched import one_thread_on_the_processor  # here, since torch takes seconds to import

    with one_thread_on_the_processor():
        yield


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory) -> Path:
    """The finished cache of a tiny sample set, made by the two commands; the raw set is in `raw` beside it.

    It is made once for all processes of pytest-xdist. Look, do not change: copy what you want to change.
    """
    import preprocessing.__main__ as preprocess
    import preprocessing.sample.__main__ as sample

    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    raw, cache = base / "sample" / "raw", base / "sample" / "cache"
    with FileLock(base / "sample.lock"):
        if not (cache / "index.csv").is_file():
            size = ["--clips", str(SAMPLE_CLIPS), "--videos", str(SAMPLE_VIDEOS), "--workers", "1"]
            assert sample.main(["--out", str(raw), *size]) == 0
            config = str(ROOT / "configs" / "sample_preprocess.yaml")
            settings = [f"labels={raw}", f"out={cache}", "workers=1"]
            assert preprocess.main(["--config", config, *settings]) == 0
    return cache
