"""The world's tokenizer: byte-pair merges learned on its captions, in CLIP's file format."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from goldennoise.data.shapes.captions import captions

MAX_TOKENS = 16
START, END = "<|startoftext|>", "<|endoftext|>"


def train(folder: Path) -> CLIPTokenizer:
    """Learn merges from the training captions and write a folder that `CLIPTokenizer` loads."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator((caption.text for caption in captions("train")), trainer)
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    # CLIP's order: bytes, bytes at the end of a word, merges, and the two special tokens last,
    # because CLIPTextModel takes the highest id as the end of the text.
    words = alphabet + [f"{symbol}</w>" for symbol in alphabet] + ["".join(merge) for merge in merges] + [START, END]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    tokenizer = CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=MAX_TOKENS,
    )
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)
