"""How much arithmetic an edit is, and how quickly a device does it."""
