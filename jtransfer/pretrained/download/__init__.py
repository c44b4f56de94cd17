"""Downloads of published weights."""
