"""Questions over a database, read-only; `orlop.inspect.bolt` asks the file itself."""
