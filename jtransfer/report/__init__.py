"""Pages and charts about what was measured; they know no kind of task."""
