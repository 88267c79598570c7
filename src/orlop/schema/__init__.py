"""How records lie in the database: the only place that knows a key.

One module for each object, over the contract of `orlop.kv`. The modules follow one pattern:

* `find(transaction, namespace)` returns the bucket of the namespace's objects, or `None`;
* `create(transaction, namespace)` returns it, made first where it is missing;
* `all_names(bucket)` iterates over the objects, in byte order of their names;
* `read(bucket, name)` returns a record, or `None` where there is none;
* `write(bucket, record)` stores one and returns it as it will be read;
* `delete(bucket, name)` removes one, and does nothing where there is none.

Whatever takes a bucket takes `None` for a missing one when it reads. What should be a
bucket and is a plain key counts as missing, and the other way round: damage hides one
object, never its neighbours. A time that cannot be read is a `DataLossError`.

Source: containerd, core/metadata/buckets.go; the layout is that of version 4.
"""
