"""What the page shows: HTML of its panels, pictures, icons and theme."""
