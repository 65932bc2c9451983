"""Frames: video in and out through ffmpeg, optical flow, shot cuts, arrays in one file, pictures of frames."""
