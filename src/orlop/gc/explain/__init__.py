"""Why the collector keeps a record or removes it: for plans, the journal and questions."""
