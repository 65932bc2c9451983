"""Spatial-Temporal Layout-guided attention: its maths, its kernels and the diffusers processors that apply it."""
