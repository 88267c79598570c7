"""The stores: containerd's operations on each type of record, with their rules and events."""
