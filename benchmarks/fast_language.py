"""Does the fast model notice other languages? Synthetic speech of espeak-ng, and folders of real speech.

    python benchmarks/fast_language.py --out fast_language.json --speech de=emodb/ en=ravdess/

whisper-tiny.en knows English alone and hears English words in whatever is said. The words count where their
mean confidence is at least `mosi_e2e.ready.language.LEAST`.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mosi_e2e.ready.folder import find_ready, read_ready
from mosi_e2e.ready.language import LEAST
from preprocessing.cache.store import write_atomic
from preprocessing.errors import UserError, command
from preprocessing.hearing.listening import hear_words
from preprocessing.hearing.models import load_recogniser
from preprocessing.media.decode import probe
from preprocessing.media.sound import read_sound

FILES = 20  # of each folder, drawn by chance
VOICES = {"en": ["en-us", "en-gb"], "de": ["de"], "fr": ["fr-fr"], "es": ["es"]}
SENTENCES = {
    "en": [
        "This film was wonderful. The actors were great, and I would recommend it to everybody.",
        "I did not like the story at all. It was slow, and the ending made no sense.",
        "The music is beautiful, but the plot is not very original.",
        "We went to the cinema yesterday, and the film was much too long.",
        "The phone works well, and the battery lasts for two days.",
        "I am really disappointed, since it broke after a week.",
        "My sister loved this book, and she has read it three times.",
        "There are a few funny scenes, but most of the jokes are old.",
        "It was the best movie of the year, and I want to see it again.",
        "The service was bad, and nobody answered my letters.",
    ],
    "de": [
        "Dieser Film war wunderbar. Die Schauspieler waren großartig, und ich würde ihn jedem empfehlen.",
        "Die Geschichte hat mir überhaupt nicht gefallen. Sie war langsam, und das Ende ergab keinen Sinn.",
        "Die Musik ist schön, aber die Handlung ist nicht sehr originell.",
        "Wir waren gestern im Kino, und der Film war viel zu lang.",
        "Das Telefon funktioniert gut, und der Akku hält zwei Tage.",
        "Ich bin wirklich enttäuscht, denn nach einer Woche ging es kaputt.",
        "Meine Schwester liebt dieses Buch, und sie hat es dreimal gelesen.",
        "Es gibt ein paar lustige Szenen, aber die meisten Witze sind alt.",
        "Es war der beste Film des Jahres, und ich möchte ihn noch einmal sehen.",
        "Der Kundendienst war schlecht, und niemand hat auf meine Briefe geantwortet.",
    ],
    "fr": [
        "Ce film était merveilleux. Les acteurs étaient formidables, et je le recommanderais à tout le monde.",  # noqa: E501
        "Je n'ai pas du tout aimé l'histoire. Elle était lente, et la fin n'avait aucun sens.",
        "La musique est belle, mais l'intrigue n'est pas très originale.",
        "Nous sommes allés au cinéma hier, et le film était beaucoup trop long.",
        "Le téléphone marche bien, et la batterie tient deux jours.",
        "Je suis vraiment déçu, parce qu'il s'est cassé après une semaine.",
        "Ma soeur adore ce livre, et elle l'a lu trois fois.",
        "Il y a quelques scènes drôles, mais la plupart des blagues sont vieilles.",
        "C'était le meilleur film de l'année, et je veux le revoir.",
        "Le service était mauvais, et personne n'a répondu à mes lettres.",
    ],
    "es": [
        "Esta película fue maravillosa. Los actores eran estupendos, y se la recomendaría a todo el mundo.",
        "La historia no me gustó nada. Era lenta, y el final no tenía sentido.",
        "La música es hermosa, pero la trama no es muy original.",
        "Ayer fuimos al cine, y la película era demasiado larga.",
        "El teléfono funciona bien, y la batería dura dos días.",
        "Estoy muy decepcionado, porque se rompió después de una semana.",
        "A mi hermana le encanta este libro, y lo ha leído tres veces.",
        "Hay algunas escenas divertidas, pero la mayoría de los chistes son viejos.",
        "Fue la mejor película del año, y quiero verla otra vez.",
        "El servicio fue malo, y nadie respondió a mis cartas.",
    ],
}


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Hear everything and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--speech", nargs="+", default=[], metavar="LANGUAGE=FOLDER", help="of .wav or .flac")
    parser.add_argument("--out", type=Path, required=True, help="JSON")
    args = parser.parse_args(argv)
    if not shutil.which("espeak-ng"):
        raise UserError("espeak-ng is not installed; type: apt-get install espeak-ng")
    torch.set_num_threads(1)
    config = read_ready(find_ready(fast=True)).settings
    recogniser, rows = load_recogniser(config.words), []
    with tempfile.TemporaryDirectory() as folder:
        for source, language, path in [*synthesise(Path(folder)), *draw_files(args.speech)]:
            words = hear_words(read_sound(probe(path)).waveform, recogniser)
            sure = float(np.mean([word.confidence for word in words])) if words else None
            known = {"source": source, "language": language, "file": path.name, "sure": sure}
            rows.append(known | {"heard": " ".join(word.text for word in words)})
            write_atomic(args.out, json.dumps(rows, indent=1, ensure_ascii=False).encode())
    for key in dict.fromkeys((row["source"], row["language"]) for row in rows):
        found = [row["sure"] for row in rows if (row["source"], row["language"]) == key]
        silent = sum(one is None for one in found)
        unsure = sum(one is not None and one < LEAST for one in found)
        print(f"{' '.join(key)}: {len(found)} clips, no words in {silent}, words left out in {unsure}")
    return 0


def synthesise(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Every sentence in each voice of its language."""
    for language, voices in VOICES.items():
        for voice in voices:
            for number, text in enumerate(SENTENCES[language]):
                path = folder / f"{voice}_{number}.wav"
                subprocess.run(["espeak-ng", "-v", voice, "-w", str(path), text], check=True)
                yield "espeak-ng", language, path


def draw_files(folders: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Some files of each folder, always the same."""
    for given in folders:
        language, _, folder = given.partition("=")
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".wav", ".flac"))
        for path in random.Random(0).sample(paths, min(FILES, len(paths))):
            yield Path(folder).name, language, path


if __name__ == "__main__":
    sys.exit(main())
