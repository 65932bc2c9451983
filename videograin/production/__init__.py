"""From an edit's inputs to frames as large and as many as the source's: read, cropped, edited, laid into the source."""
