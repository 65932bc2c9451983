"""Clips longer than one window: which frames are denoised together, what they see besides, and how they are joined."""
