"""What each stage makes of one clip."""

import numpy as np

from preprocessing import acoustics
from preprocessing.behaviour import pack_behaviour
from preprocessing.config import PreprocessConfig
from preprocessing.decode import MediaError, check_duration
from preprocessing.faces import Face, load_landmarker, pack_crops
from preprocessing.frames import pick_frames
from preprocessing.labels import ClipEntry
from preprocessing.media import Media
from preprocessing.openface_stages import run_openface_stages
from preprocessing.stages import StageResult, absent_result
from preprocessing.store import SAMPLE_RATE
from preprocessing.tracks import choose_track, measure_loudness


def run_video_stages(
    entry: ClipEntry, media: Media, config: PreprocessConfig, todo: frozenset[str]
) -> dict[str, StageResult]:
    """`faces` and `behaviour` of one clip, as far as they are in `todo`, from one pass over its frames."""
    if not media.info.has_video:
        return {
            stage: absent_result(stage, "no_video", media.info.duration_s, config)
            for stage in ("faces", "behaviour")
            if stage in todo
        }
    reader, limit = media.frames, config.decode.max_missing
    check_duration("picture", media.info.video_duration_s, reader.span_s, limit)  # before the work
    by_openface = frozenset({"behaviour"} if config.behaviour.backend != "mediapipe" else ())
    by_openface |= {"faces"} if config.faces.source == "openface" else frozenset()
    results: dict[str, StageResult] = {}
    if todo & by_openface:
        results |= run_openface_stages(entry, media, config)
    if todo & {"faces", "behaviour"} - by_openface:
        results = _look_at_frames(media, config) | results
    return {stage: result for stage, result in results.items() if stage in todo}


def _look_at_frames(media: Media, config: PreprocessConfig) -> dict[str, StageResult]:
    reader = media.frames
    index = pick_frames(reader.time, config.track.rate)
    cropped = set(index[pick_frames(reader.time[index], config.faces.rate)].tolist())
    landmarker = load_landmarker(config.track)
    positions: list[int] = []
    detections: list[list[Face]] = []
    for position, frame in reader.frames(index):
        positions.append(position)
        detections.append(landmarker(frame, config.faces if position in cropped else None))
    decoded_s = reader.span_s * len(positions) / len(index)
    remark = check_duration("picture", media.info.video_duration_s, decoded_s, config.decode.max_missing)
    if not detections:
        raise MediaError("no frame of the video stream can be decoded")
    time = reader.time[positions]
    track = choose_track(detections, _loudness(media, detections, time, config))
    seen = sum(face is not None for face in track)
    facts = {
        "duration_s": round(media.info.duration_s, 3),
        "n_frames": len(reader.time),
        "face_ratio": round(seen / len(track), 4),
        "people": max(map(len, detections)),
        "remark": remark,
    }
    if not seen:
        return {
            stage: absent_result(stage, "no_face", media.info.duration_s, config, facts)
            for stage in ("faces", "behaviour")
        }
    rows = [row for row, position in enumerate(positions) if position in cropped]
    crops = pack_crops(time[rows], [track[row] for row in rows])
    return {
        "faces": StageResult(crops, "ok" if crops["face_valid"].any() else "no_face", facts),
        "behaviour": StageResult(pack_behaviour(time, track), "ok", facts),
    }


def _loudness(
    media: Media, detections: list[list[Face]], time: np.ndarray, config: PreprocessConfig
) -> np.ndarray | None:
    """The sound is decoded for this only where there are several people to choose from."""
    if config.track.choose != "speaking" or max(map(len, detections)) < 2:
        return None
    return measure_loudness(media.sound.waveform, time)


def run_audio_stages(media: Media, config: PreprocessConfig, todo: frozenset[str]) -> dict[str, StageResult]:
    """`waveform` and `acoustics` of one clip, as far as they are in `todo`, from one decode of its sound."""
    stages = [stage for stage in ("waveform", "acoustics") if stage in todo]
    sound, info = media.sound, media.info
    remark = check_duration("sound", info.audio_duration_s, sound.decoded_s, config.decode.max_missing)
    if not len(sound.waveform):
        return {stage: absent_result(stage, "no_audio", info.duration_s, config) for stage in stages}
    facts = {
        "duration_s": round(info.duration_s, 3),
        "audio_s": round(len(sound.waveform) / SAMPLE_RATE, 3),
        "remark": remark,
    }
    results = {}
    if "waveform" in stages:
        arrays = {"waveform": sound.waveform, "waveform_time": np.zeros(1)}
        results["waveform"] = StageResult(arrays, "ok", facts)
    if "acoustics" in stages:
        arrays = acoustics.extract_acoustics(sound.waveform, config.acoustics)
        results["acoustics"] = (
            StageResult(arrays, "ok", facts)
            if arrays
            else absent_result("acoustics", "too_short", info.duration_s, config)
        )
    return results
