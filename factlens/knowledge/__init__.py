"""General knowledge, to ask a model about: what it knows of it tells where it looks facts up, and how to edit it."""
