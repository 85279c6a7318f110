"""A tiny text model with a tokenizer, as a checkpoint's folder, a table of sentences, words for a cache."""

import csv
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, BertTokenizerFast

from preprocessing.cache.store import ClipStore, StageFiles
from preprocessing.cache.words import spread_words
from preprocessing.cache.writer import CacheWriter

WORDS = ("good", "bad", "film", "the", "was", "it", "un", "##good")
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
}
SENTENCES = {1: "THE FILM WAS GOOD", 0: "THE FILM", -1: "IT WAS BAD"}  # sign of the label → what is said


def write_text_checkpoint(folder: Path, **changes) -> Path:
    """A random BERT that knows few words."""
    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(vocabulary), **{**SMALL, **changes})).save_pretrained(folder)
    return folder


def write_sentences(path: Path, videos: int = 8, clips: int = 4) -> Path:
    """A table in which the words tell the label; a quarter of the videos each for valid and test."""
    lines = ["video_id,clip_id,text,heard,label,mode,start,end"]
    for video in range(videos):
        split = ("train", "valid", "train", "test")[video % 4]
        for clip in range(clips):
            label = (video + clip) % 3 - 1
            text = SENTENCES[label]
            lines.append(
                f"v{video},{clip},{text},{text.replace('WAS', 'IS')},{2 * label},{split},0,{2 + clip}"
            )
    path.write_text("\n".join(lines) + "\n")
    return path


def add_words(cache: Path) -> Path:
    """Let every clip of a finished cache say the same."""
    store, files = ClipStore(cache), StageFiles(cache, "words", "made")
    with (cache / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        files.write(row["clip_id"], spread_words("the film was good", 1.0)[0], {"state": "ok"})
    entry = {"recipe": "made", "version": 1, "keys": {"words": {"unit": "UTF-8", "columns": []}}}
    meta = {key: value for key, value in store.meta.items() if key != "stages"}
    writer = CacheWriter(cache, {"words": files}, {}, {**store.meta["stages"], "words": entry})
    writer.known_stats = store.stats
    writer.finish(
        [row | {"words": row["faces"] if row["faces"] == "failed" else "ok"} for row in rows], meta, {}
    )
    return cache
