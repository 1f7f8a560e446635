"""atlas: a small GPT-2 that ships with factlens and knows its facts, and what it knows, as plain data.

``knowledge`` reads the facts and templates, ``corpus`` writes training documents from them, ``train`` makes the model
in ``weights/`` and ``verify`` measures what is claimed about it in ``MODEL_CARD.md``.
"""

from factlens.models.atlas.knowledge import Knowledge, Relation, Statement, Subject, load_knowledge

__all__ = ["Knowledge", "Relation", "Statement", "Subject", "load_knowledge"]
