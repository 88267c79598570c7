"""What the stores speak of: records, names, times, errors, filters and single-value encodings."""
