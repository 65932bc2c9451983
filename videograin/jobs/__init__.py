"""Long work: a queue that survives restarts, a thread that runs it, and what editing and tracking are as jobs."""
