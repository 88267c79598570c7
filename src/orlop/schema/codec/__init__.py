"""Encodings of stored values: varints, Go's times, protobuf; times and durations as text."""
