"""What the networks compute between their convolutions and attention, in fewer passes over memory, on CUDA."""
