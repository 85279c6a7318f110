"""A model of OpenFace's columns: there is one person, and the result says where that may be wrong."""

import pytest
from kit import fake_openface
from kit.made_cache import make_cache
from kit.made_predictor import CROSS, LATE, write_run, write_video

from mosi_e2e.predict.predictor import Predictor
from preprocessing.openface import program as openface_run

TOLD = "tells nobody apart"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openface")
    make_cache(folder / "made", backend="openface")
    for people in (1, 2):
        write_video(folder / f"{people}.mp4", 0.8, people=people)
    return folder


@pytest.fixture
def predict(folder, monkeypatch):
    program = fake_openface.install(folder / "bin")
    monkeypatch.setattr(openface_run, "_find_program", lambda *_: program)

    def ask(model, people: int) -> list[str]:
        run = write_run(folder / model.name, folder / "made" / "cache", model)
        result = Predictor.open(run).predict(folder / f"{people}.mp4")
        assert len(result.people) == 1 and result.score is not None
        return [remark for remark in result.remarks if TOLD in remark]

    return ask


def test_faces_that_were_counted_are_told_where_there_are_several(predict):
    """Crops are MediaPipe's, which sees how many faces there are."""
    assert predict(CROSS, 1) == []
    (remark,) = predict(CROSS, 2)
    assert remark.startswith("there are 2 faces in a frame")


def test_faces_that_nobody_has_counted_are_told_as_a_possibility(predict):
    """Behaviour alone: OpenFace says nothing of further faces."""
    (remark,) = predict(LATE, 1)
    assert remark.startswith("if several people are in the picture")
