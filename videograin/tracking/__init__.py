"""From masks on single frames to masks on every frame of a clip."""
