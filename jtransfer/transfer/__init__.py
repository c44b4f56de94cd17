"""What transfer learning is: the plan, the split, the optimiser of its groups."""
