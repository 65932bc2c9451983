"""What the page does on an event: each handler reads components by name and returns new values by component."""
