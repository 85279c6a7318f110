"""`mosi VERB …`: one door to every command; `python -m …` stays the other.

Nothing is imported before its verb is called, so that `mosi --help` is immediate.
"""

import difflib
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from preprocessing.errors import UserError, command

VERBS = {  # verb → module with `main(argv)`, what it does
    "sample": ("preprocessing.sample.__main__", "make a synthetic sample set"),
    "fetch": ("preprocessing.fetch.__main__", "download or unpack a raw set"),
    "preprocess": ("preprocessing.__main__", "raw clips and labels → cache"),
    "pack": ("preprocessing.pack", "a cache as one file for a notebook"),
    "shards": ("preprocessing.shards", "a cache as tar shards for a cluster"),
    "import": ("preprocessing.import_features.__main__", "feature files of others → cache"),
    "import-images": ("preprocessing.import_images.__main__", "pictures of faces → cache"),
    "list-voices": ("preprocessing.list_voices", "a set of emotional voices → labels"),
    "import-words": ("preprocessing.import_words", "a table of sentences → cache of words"),
    "explore": ("mosi_e2e.explore.__main__", "a page about a cache"),
    "train": ("mosi_e2e.train", "train a model, through `accelerate launch`"),
    "evaluate": ("mosi_e2e.evaluate", "score trained models on a split"),
    "ablate": ("mosi_e2e.ablate", "variants × seeds, one table with differences"),
    "search": ("mosi_e2e.search", "search hyper-parameters on valid"),
    "report": ("mosi_e2e.report.__main__", "a page about trained models"),
    "predict": ("mosi_e2e.predict.__main__", "the sentiment of a video over time"),
    "demo": ("mosi_e2e.demo.__main__", "the same as a web page"),
    "export": ("mosi_e2e.export.__main__", "a trained model as a folder for others, ONNX"),
    "ready": ("mosi_e2e.ready.__main__", "trained runs → a ready model, one stream each"),
    "weights": ("mosi_e2e.weights.__main__", "pretrained checkpoints without the model hub"),
    "doctor": ("mosi_e2e.doctor.__main__", "check the installation"),
    "settings": ("mosi_e2e.settings", "list every key with its default and meaning"),
}
LAUNCHER_CONFIG = "accelerate_config.yaml"


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Hand over to the verb's own `main`; exit status is its own."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(describe_verbs())
        return 0
    verb, *rest = words
    if verb not in VERBS:
        raise UserError(f"mosi has no verb '{verb}'; {suggest_verb(verb)}")
    if verb == "train" and not {"-h", "--help"} & set(rest):
        launch = launch_command(rest)
        return os.execv(launch[0], launch)  # takes this process's place
    return import_module(VERBS[verb][0]).main(rest)


def describe_verbs() -> str:
    """The help page."""
    lines = [f"  {verb:<13} {meaning}" for verb, (_, meaning) in VERBS.items()]
    return "\n".join(
        [
            "usage: mosi VERB [arguments]",
            "",
            *lines,
            "",
            "mosi VERB --help says more. The launcher's own options go behind --launch, in one word:",
            '  mosi train --config configs/crossmodal.yaml --launch "--num_processes 2"',
        ]
    )


def suggest_verb(verb: str) -> str:
    """What to type instead of an unknown verb."""
    close = difflib.get_close_matches(verb, VERBS, n=1)
    return f"did you mean 'mosi {close[0]}'?" if close else f"it has {', '.join(VERBS)}"


def launch_command(words: Sequence[str]) -> list[str]:
    """The words of `accelerate launch -m mosi_e2e.train …`, with the project's launcher settings.

    Args:
        words: of the training, among them `--launch "…"` for the launcher.

    Raises:
        UserError: `--launch` without its options.
    """
    words, extra = list(words), []
    while "--launch" in words:
        place = words.index("--launch")
        if place + 1 == len(words):
            raise UserError(
                '--launch takes the launcher\'s options in quotes; type --launch "--num_processes 2"'
            )
        extra += shlex.split(words[place + 1])
        del words[place : place + 2]
    if "--config_file" not in " ".join(extra) and has_gpu() and (found := find_launcher_config()):
        extra = ["--config_file", str(found), *extra]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]  # no traceback below an error
    return [*launcher, *extra, "-m", "mosi_e2e.train", *words]


def has_gpu() -> bool:
    """Whether there is a device file of an NVIDIA or AMD card: torch would take seconds to say so.

    Without one the project's file would start torchrun for a single process, and torchrun prints 40 lines
    below an error of one line.
    """
    return Path("/dev/kfd").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def find_launcher_config() -> Path | None:
    """The project's launcher settings, in this folder or beside the package; None where neither has them."""
    places = (Path.cwd(), Path(__file__).resolve().parents[1])
    return next((found for place in places if (found := place / LAUNCHER_CONFIG).is_file()), None)


if __name__ == "__main__":
    sys.exit(main())
