"""One window on two devices: each computes one half of guidance."""
