"""The columns of an OpenFace 2.x CSV: the groups one may ask for, their names and units."""

from dataclasses import dataclass

from preprocessing.errors import UserError

INDEX_COLUMNS = ("frame", "face_id", "confidence", "success")

AU_NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
AU_INTENSITIES = [f"{number:02d}" for number in AU_NUMBERS]
AU_PRESENCES = [*AU_INTENSITIES[:-1], "28", "45"]
LANDMARKS = range(68)
SHAPE_MODES = range(34)


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that are chosen together.

    Attributes:
        flag: the option of FeatureExtraction that writes them.
        units: unit of each column by its name, in order.
    """

    flag: str
    units: dict[str, str]


# Names differ by case only (`x_0` is in the image, `X_0` in space), so nothing here or later may change
# their case.
GAZE_ANGLES = {"gaze_angle_x": "rad", "gaze_angle_y": "rad"}
GROUPS = {
    "gaze_angle": ColumnGroup("-gaze", GAZE_ANGLES),
    "gaze": ColumnGroup("-gaze", {f"gaze_{eye}_{a}": "1" for eye in (0, 1) for a in "xyz"} | GAZE_ANGLES),
    "pose": ColumnGroup("-pose", {f"pose_T{a}": "mm" for a in "xyz"} | {f"pose_R{a}": "rad" for a in "xyz"}),
    "au_r": ColumnGroup("-aus", {f"AU{unit}_r": "0..5" for unit in AU_INTENSITIES}),
    "au_c": ColumnGroup("-aus", {f"AU{unit}_c": "0/1" for unit in AU_PRESENCES}),
    "landmarks_2d": ColumnGroup("-2Dfp", {f"{a}_{i}": "px" for a in "xy" for i in LANDMARKS}),
    "landmarks_3d": ColumnGroup("-3Dfp", {f"{a}_{i}": "mm" for a in "XYZ" for i in LANDMARKS}),
    "pdm": ColumnGroup(
        "-pdmparams",
        {"p_scale": "1", "p_rx": "rad", "p_ry": "rad", "p_rz": "rad", "p_tx": "px", "p_ty": "px"}
        | {f"p_{i}": "1" for i in SHAPE_MODES},
    ),
}


def describe_columns(groups: list[str]) -> dict[str, str]:
    """Name and unit of each behaviour column, in order; a column in two groups stands once.

    Args:
        groups: names out of `GROUPS`.

    Raises:
        UserError: a group is unknown, or no group is asked for.
    """
    unknown = [name for name in groups if name not in GROUPS]
    if unknown or not groups:
        got = ", ".join(unknown) or "none"
        raise UserError(f"OpenFace `groups` must be among {', '.join(GROUPS)}; got {got}: fix the option")
    return {column: unit for name in groups for column, unit in GROUPS[name].units.items()}


def list_flags(groups: list[str]) -> list[str]:
    """Options of FeatureExtraction that write the groups: what nobody reads is not computed either."""
    return list(dict.fromkeys(GROUPS[name].flag for name in groups))
