"""Files of any kind: written whole or not at all, read with plain errors, downloaded, cached."""
