"""The method beside others: the same clip, masks, words, model and seed, edited in several ways and scored."""
