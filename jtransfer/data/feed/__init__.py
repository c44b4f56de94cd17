"""From a training part to batches, in an order that is a pure function of the seed and the step."""
