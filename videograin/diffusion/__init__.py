"""The editing method: inversion, ST-Layout attention and denoising on a frozen Stable Diffusion."""
