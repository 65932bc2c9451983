"""The page of a user study: two results of the same edit, blind, and three questions."""
