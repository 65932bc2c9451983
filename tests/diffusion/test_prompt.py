import pytest
import torch
from fakes import TEXT_WIDTH, box, tiny_frames, tiny_text_encoder, tiny_tokenizer
from golden_pipeline import SETS, golden_spans
from torch import Tensor

from videograin.diffusion.prompt import (
    WeightedPrompt,
    assign_spans,
    compose_target_prompt,
    find_token_spans,
    local_prompt,
    read_prompt,
)
from videograin.diffusion.prompt_embeds import embed_prompts, encode_prompts, insert_local_embeds, token_weights
from videograin.errors import PromptError
from videograin.region import EditRequest, Region

TOKENIZER = tiny_tokenizer()


def phrase_at(prompt: str, span: tuple[int, int] | None) -> str:
    """What the tokens of a span spell."""
    assert span is not None
    ids = TOKENIZER(prompt).input_ids[slice(*span)]
    return "".join(TOKENIZER.convert_ids_to_tokens(ids)).replace("</w>", " ").strip()


def spelled(prompt: str, *phrases: str) -> list[str]:
    return [phrase_at(prompt, span) for span in find_token_spans(TOKENIZER, prompt, phrases).spans]


# Composing


@pytest.mark.parametrize(
    ("phrases", "background", "prompt"),
    [
        (["a panda"], "", "a panda"),
        (["a panda", "a fox"], "", "a panda and a fox"),
        (["a panda", "a fox", "a dog"], "", "a panda, a fox and a dog"),
        (["a panda", "a fox"], "on grass", "a panda and a fox on grass"),
        (["a panda"], "Under the sea", "a panda Under the sea"),
        (["a panda"], "cherry blossoms", "a panda, cherry blossoms"),
        (["a panda"], "onions", "a panda, onions"),
        (["", "a fox", " "], " in snow ", "a fox in snow"),
        ([""], "in snow", "in snow"),
        (["a panda.", " a fox, "], "", "a panda and a fox"),
        (["🐼", "C++", "C#!"], "", "🐼, C++ and C#"),
        (["(a panda:1.3)", "a (red:0.5) fox."], "", "(a panda:1.3) and a (red:0.5) fox"),
    ],
)
def test_phrases_and_background_make_a_sentence(phrases, background, prompt):
    assert compose_target_prompt(phrases, background) == prompt


def test_nothing_to_compose_says_what_to_do():
    with pytest.raises(PromptError, match=r"The target prompt is empty\. Say what"):
        compose_target_prompt(["", " . "])


def test_a_composed_prompt_has_every_phrase():
    phrases = ["a red panda", "the man's Coat!", "2 dogs", "fire-engine"]
    prompt = compose_target_prompt(phrases, "on grass")
    assert all(find_token_spans(TOKENIZER, prompt, phrases).spans)


def test_punctuation_around_a_phrase_is_left_out_and_inside_is_kept():
    assert local_prompt(' "a man\'s fire-engine." ') == "a man's fire-engine"
    assert local_prompt("...") == ""


def test_the_brackets_of_a_textual_inversion_stay():
    assert local_prompt("(a <cat>)") == "a <cat>"


# Symbols and weights


def test_symbols_are_words():
    assert [local_prompt(phrase) for phrase in ("🐼", " C++. ", '"C#"', "❤️!")] == ["🐼", "C++", "C#", "❤️"]


def test_a_symbol_is_found_beside_punctuation():
    prompt = read_prompt(compose_target_prompt(["🐼", "C++", "a fox"])).text
    assert prompt == "🐼 , C++ and a fox"
    assert all(find_token_spans(TOKENIZER, prompt, ["🐼", "C++", "a fox"]).spans)


def test_weights_are_taken_out_of_a_prompt():
    prompt = read_prompt("a (red panda:1.3) on (grass: .5)")
    assert prompt == WeightedPrompt("a red panda on grass", ((2, 11, 1.3), (15, 20, 0.5)))
    assert token_weights(TOKENIZER, prompt)[:8].tolist() == pytest.approx([1, 1, 1.3, 1.3, 1, 0.5, 1, 1])
    assert read_prompt("a panda (red)") == WeightedPrompt("a panda (red)")


def test_a_trimmed_phrase_keeps_the_weights_of_its_words():
    assert read_prompt(". a (fox:1.5)!").trimmed() == WeightedPrompt("a fox", ((2, 5, 1.5),))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("(a panda:13)", "The weight of 'a panda' is 13; choose 0 to 2"),
        ("a fox <lora:fur:0.8>", "'<lora:fur:0.8>' in a prompt loads nothing here"),
    ],
)
def test_weights_and_networks_that_mean_nothing_are_refused(prompt, message):
    with pytest.raises(PromptError, match=message):
        read_prompt(prompt)


# Spans


def test_a_span_counts_the_start_token_and_ends_behind_the_phrase():
    assert find_token_spans(TOKENIZER, "a red panda on grass", ["panda", "red panda", "a"]).spans == (
        (3, 4),
        (2, 4),
        (1, 2),
    )


def test_regions_that_share_a_word_get_an_occurrence_each():
    prompt = "a red panda and a blue panda"
    assert find_token_spans(TOKENIZER, prompt, ["panda", "panda"]).spans == ((3, 4), (7, 8))


def test_the_longer_phrase_chooses_first():
    spans = find_token_spans(TOKENIZER, "a red panda and a panda", ["panda", "red panda"]).spans
    assert spans == ((6, 7), (2, 4))


def test_a_phrase_asked_for_more_often_than_it_occurs_is_shared():
    assert find_token_spans(TOKENIZER, "a panda", ["panda", "a panda", "panda"]).spans == ((2, 3), (1, 3), (2, 3))


def test_words_of_several_tokens_are_found_whole():
    prompt = "a zebra and a red zebu"
    assert len(TOKENIZER("zebra").input_ids) > 3
    assert spelled(prompt, "zebra", "red zebu") == ["zebra", "red zebu"]


def test_part_of_a_word_is_not_the_word():
    with pytest.raises(PromptError, match="'panda' is not in"):
        find_token_spans(TOKENIZER, "two pandas", ["panda"])


def test_a_phrase_within_a_longer_word_is_found_as_the_tokenizer_has_it_and_told():
    found = find_token_spans(TOKENIZER, "on the road, Spiderman!", ["man", "road"])
    assert phrase_at("on the road, Spiderman!", found.spans[0]) == "man"
    assert found.inside == (("man", "Spiderman"),)


def test_a_whole_word_comes_before_a_part_of_one():
    prompt = "spiderman and a man"
    found, last = find_token_spans(TOKENIZER, prompt, ["man"]), len(TOKENIZER(prompt).input_ids) - 1
    assert found.spans == ((last - 1, last),)
    assert found.inside == ()


def test_capitals_punctuation_and_spacing_do_not_matter():
    prompt = "The Red  panda, a fire-engine (blue) and a man's coat."
    assert spelled(prompt, "red PANDA", "Fire-Engine.", "blue", "man's coat") == [
        "red panda",
        "fire - engine",
        "blue",
        "man 's coat",
    ]


def test_an_empty_phrase_has_no_span():
    assert find_token_spans(TOKENIZER, "a panda", ["", "panda", " ."]).spans == (None, (2, 3), None)


def test_missing_phrase_is_named_in_the_error():
    with pytest.raises(PromptError, match=r"The phrase 'a red coat' is not in the target prompt 'a panda'\."):
        find_token_spans(TOKENIZER, "a panda", ["panda", "a red coat"])


def test_the_last_word_that_fits_is_found_and_the_next_is_an_error():
    fits = "a " * 74 + "panda"
    assert find_token_spans(TOKENIZER, fits, ["panda"]).spans == ((75, 76),)
    with pytest.raises(PromptError, match="'panda' ends at token 77 of the target prompt; only 75 words"):
        find_token_spans(TOKENIZER, "a " + fits, ["panda"])


def test_words_that_do_not_fit_are_named():
    prompt = "a panda " + "and " * 72 + "a zebra on grass"
    assert find_token_spans(TOKENIZER, prompt, ["panda"]).dropped == "zebra on grass"
    assert find_token_spans(TOKENIZER, "a panda", ["panda"]).dropped == ""


def test_an_overlong_prompt_s_warning_begins_with_the_first_word_that_is_cut():
    exact = "and " * 74 + "fox"
    assert find_token_spans(TOKENIZER, exact, []).dropped == ""
    assert find_token_spans(TOKENIZER, exact + " dog", []).dropped == "dog"


# Embeddings


def test_a_span_gets_the_embeddings_of_its_phrase_alone():
    prompt, first, second = torch.randn(3, 77, 4)
    result = insert_local_embeds(prompt, torch.stack([first, second]), [(3, 5), None])
    assert torch.equal(result[3:5], first[1:3])
    assert torch.equal(result[:3], prompt[:3])
    assert torch.equal(result[5:], prompt[5:])


def test_a_phrase_counts_as_the_target_prompt_weighs_it_unless_it_has_a_weight_of_its_own():
    encoder = tiny_text_encoder(TOKENIZER)

    def embedded(target_prompt: str, phrase: str) -> Tensor:
        request = EditRequest(tiny_frames(), [Region(box(2, 2, 8, 12), phrase)], "a man", target_prompt)
        return embed_prompts(TOKENIZER, encoder, request, torch.device("cpu"), str).target[-1]

    plain = embedded("a fox on grass", "a fox")
    for phrase, weight in {"a fox": 1.5, "(a fox:0.5)": 0.5}.items():
        weighed = embedded("(a fox:1.5) on grass", phrase)
        assert torch.allclose(weighed[1:3], weight * plain[1:3])
        assert torch.allclose(weighed[3:], plain[3:])


def test_where_spans_overlap_the_shorter_one_wins_in_any_order():
    prompt, long, short = torch.randn(3, 77, 4)
    one = insert_local_embeds(prompt, torch.stack([long, short]), [(2, 5), (4, 5)])
    other = insert_local_embeds(prompt, torch.stack([short, long]), [(4, 5), (2, 5)])
    assert torch.equal(one, other)
    assert torch.equal(one[2:5], torch.cat([long[1:3], short[1:2]]))


def test_prompts_are_padded_and_cut_to_the_encoder_s_length():
    encoder = tiny_text_encoder(TOKENIZER)
    embeds = encode_prompts(TOKENIZER, encoder, ["", "a panda", "a " * 200])
    assert embeds.shape == (3, 77, TEXT_WIDTH)
    assert torch.allclose(embeds[1], encode_prompts(TOKENIZER, encoder, ["A Panda"])[0], atol=1e-6)
    assert not embeds.requires_grad


# Goldens: the release's spans and texts


def recorded_ids(golden: dict[str, Tensor], name: str) -> list[list[int]]:
    """Token ids of the prompt and of each phrase, without start and end token."""
    ids, lengths = golden[f"{name}.token_ids"].tolist(), golden[f"{name}.token_lengths"].tolist()
    return [row[1 : length - 1] for row, length in zip(ids, lengths, strict=True)]


@pytest.mark.parametrize("name", SETS)
def test_golden_spans(load_golden, name):
    golden = load_golden("layouts")
    prompt, *phrases = recorded_ids(golden, name)
    assert assign_spans(prompt, phrases) == golden_spans(golden, name)


@pytest.mark.parametrize("name", SETS)
def test_golden_local_embeddings_stand_in_the_prompt(load_golden, name):
    golden = load_golden("layouts")
    prompt, *local = golden[f"{name}.prompt_embeds"]
    result = insert_local_embeds(prompt, torch.stack(local), golden_spans(golden, name))
    assert torch.equal(result, golden[f"{name}.text_cond"][1])
