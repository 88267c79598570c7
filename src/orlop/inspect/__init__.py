"""Questions over a database, read-only; `orlop.maintenance` asks the file itself."""
