"""What tests/bench/watcher is made of."""
