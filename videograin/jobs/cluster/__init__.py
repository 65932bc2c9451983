"""Jobs on the GPUs of several processes and hosts, by Ray."""
