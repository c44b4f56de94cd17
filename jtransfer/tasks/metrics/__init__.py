"""What is measured of a task, and how it is told."""
