"""Images in and out: OCI layouts and archives, archives of `docker save`, and unpacking."""
