"""Orlop and the Go original, measured side by side: `python -m benchmarks --help`.

One measurement is one process of each side on files that both can read: the peer is the Go
program in `peer`, built on Debian's bbolt and containerd packages; `sides` does the same with
Orlop. They take turns on the same disk. What comes out are ratios, since no machine is like
another; docs/performance.md says what they mean.
"""
