"""A CLIP tokenizer whose byte-pair merges make every word of the world one token.

Unknown words fall back to byte pieces. Prompts are padded to 40 tokens, not 77: attention spent on padding is lost.
The order of equally frequent merges differs from one building to the next, and with it the token ids. So the tokenizer
was built once, is kept with the models, and every stage loads it; whoever builds another must train all stages again.

    python -m training.tokenizer assets/models/emoji-world/tokenizer
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training import vocabulary as words

MAX_TOKENS = 40
FOLDER = Path("assets/models/emoji-world/tokenizer")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def phrases() -> Iterator[str]:
    """Yield every text that captions are assembled from."""
    for name in words.NAMES:
        yield f"a an the {name}"
        yield from words.worn_phrases(name)
    for group in (words.GROUNDS, words.SKIES, words.PLACES):
        for after, alone in group.values():
            yield from after + alone
    yield from words.COLOUR_NAMES
    yield from (text for text, _ in words.PREFIXES)
    yield from (text for texts in words.RELATIONS.values() for text in texts)
    yield "on the left on the right"
    yield words.SPARE_WORDS


def byte_symbols() -> list[str]:
    """Return the 256 printable stand-ins of bytes that GPT-2 and CLIP use, in their order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def merges_for(vocabulary: set[str]) -> list[tuple[str, str]]:
    """Learn the byte-pair merges that join each word into one token."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=8000, min_frequency=1, end_of_word_suffix="</w>", special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator([" ".join([word] * 3) for word in sorted(vocabulary)], trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in merges]


def build() -> CLIPTokenizer:
    """Build the world's tokenizer."""
    vocabulary = {word for text in phrases() for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text)}
    merges = merges_for(vocabulary)
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(merge) for merge in merges)]
    ids = {token: i for i, token in enumerate([*dict.fromkeys(tokens), _START, _END])}
    return CLIPTokenizer(
        vocab=ids,
        merges=merges,  # pyright: ignore[reportArgumentType] (pairs are what it takes)
        model_max_length=MAX_TOKENS,
        bos_token=_START,
        eos_token=_END,
        unk_token=_END,
        pad_token=_END,
    )


def save(folder: Path) -> None:
    """Build the tokenizer and save it in the layouts of both generations of transformers."""
    tokenizer = build()
    tokenizer.save_pretrained(folder)
    vocab = tokenizer.get_vocab()
    (folder / "vocab.json").write_text(
        json.dumps(dict(sorted(vocab.items(), key=lambda item: item[1])), ensure_ascii=False)
    )
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    lines = (" ".join(merge) if isinstance(merge, list) else merge for merge in merges)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")


def load(folder: Path = FOLDER) -> CLIPTokenizer:
    """Load the saved tokenizer."""
    return CLIPTokenizer.from_pretrained(folder)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
