"""What is done with objects besides marking: found by what a user types, drawn after pictures."""
