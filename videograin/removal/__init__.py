"""Objects removed from a clip: what they hid is taken from frames that show it."""
