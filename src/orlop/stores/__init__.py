"""The stores: what may be done with each object, and what follows from it."""
