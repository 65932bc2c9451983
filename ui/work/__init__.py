"""What the page does with one visitor's work: clicks, names, masks in and out, jobs."""
