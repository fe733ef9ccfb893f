"""The decisions of asynccvat: pure values and functions, free of await, clock, disk and network."""
