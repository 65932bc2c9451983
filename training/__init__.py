"""How the embedded models were made: from openly licensed emoji art to weights, reproducible (DESIGN §5)."""
