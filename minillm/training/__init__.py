"""Training: the loop, what it reads and measures, and the run folder with its checkpoints."""
