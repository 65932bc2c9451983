"""From clicks on one frame to a mask: the segmenters, their weights and how they are asked."""
