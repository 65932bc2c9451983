"""How good an edit is: metrics, and what a mini CLIP sees in it."""
