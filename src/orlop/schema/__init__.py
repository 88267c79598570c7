"""The layout of records in the database: the only package that knows its keys.

One module for each type of record, over the contract of `orlop.kv`. Each makes a `Table` of its
records (`tables.py`), whose methods are functions of the module:

* `find(transaction, namespace)` returns the bucket of the namespace's records, or `None`;
* `create(transaction, namespace)` returns it, and creates it if it does not exist;
* `all_names(bucket)` iterates over the names of the records, in byte order;
* `exists(bucket, name)`, `labels(bucket, name)` and `delete(bucket, name)`;
* `read(bucket, name)` returns a record, or `None`, and `read_all(bucket, wanted)` a list.

To that a module adds `write(bucket, record)`, which stores a record and returns it as it will be
read, and functions that read a single field.

Functions that read take `None` for a missing bucket. A plain key where a bucket belongs counts as
missing, and the other way round: damage hides one record, never its neighbours. A time that cannot
be read is a `DataLossError`.

Source: containerd, core/metadata/buckets.go; the layout is that of version 4.
"""
