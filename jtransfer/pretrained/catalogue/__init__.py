"""The catalogue of published weights, and where a checkpoint is."""
