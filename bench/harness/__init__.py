"""What all suites share: turns, processes, what they cost, and how it is told."""
