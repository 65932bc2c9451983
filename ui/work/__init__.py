"""The work of one visitor: clicks, names, masks in and out, jobs."""
