"""Faster kernels: one file a backend, each overriding ops of the table with `minillm.registry.kernel`."""
