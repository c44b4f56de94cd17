"""Files of weights, whoever wrote them."""
