"""Sources of labelled examples, a file a source."""
