"""How good an edit is: metrics, and a mini CLIP that names objects."""
