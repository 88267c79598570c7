"""The vocabulary of the stores: records, names, times, errors, filters, encodings of values."""
