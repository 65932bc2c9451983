"""One script a question, one table each."""
