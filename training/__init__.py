"""How the embedded models were made: from openly licensed emoji art to weights, reproducible (docs/training.md)."""
