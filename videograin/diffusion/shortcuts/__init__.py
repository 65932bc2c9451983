"""What makes an edit quicker and leaves something out: other samplers, the deep part kept, fewer frames as keys."""
