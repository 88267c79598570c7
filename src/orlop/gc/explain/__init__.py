"""Explanations: paths, references and reasons, for plans, the journal and questions."""
