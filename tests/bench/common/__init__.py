"""What the benchmarks share: tables, drawings, and what servers use."""
