"""A fact: a subject, a prompt that asks for something about it, and the object it shall have."""

from __future__ import annotations

from dataclasses import dataclass, replace

from factlens.errors import FactError

SLOT = "{}"


@dataclass(frozen=True)
class Fact:
    """A prompt with its subject marked, and optionally the new object an edit shall produce.

    Parameters
    ----------
    template
        The prompt, with ``{}`` where the subject stands: ``"{} is in downtown"``. A prompt that spells
        the subject out is taken too; the subject's first occurrence as a whole word is then the marked
        one (mark another by writing ``{}`` there). White space at the end is dropped, since the answer
        brings its own leading space.
    subject
        What the fact is about: ``"The Space Needle"``.
    target
        The new object, ``"Paris"``; only editing needs it.
    object
        The object that the fact has, ``"Seattle"``. Tracing many facts leaves out those that the model answers
        otherwise; without it, whatever the model answers is taken.

    Raises
    ------
    FactError
        If the prompt or the subject is empty, the subject is not in the prompt, ``{}`` stands in it
        more than once, or the target is an empty string.

    Examples
    --------
    >>> fact = Fact("{} is in downtown", subject="The Space Needle", target="Paris")
    >>> fact.prompt
    'The Space Needle is in downtown'
    >>> Fact("The Space Needle is in downtown", subject="The Space Needle").template
    '{} is in downtown'
    """

    template: str
    subject: str
    target: str | None = None
    object: str | None = None

    def __post_init__(self) -> None:
        for name in ("template", "subject", "target", "object"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name in ("target", "object") and value is None):
                raise FactError(f"The {name} of a fact must be a string, not {type(value).__name__}.")
            if value is not None and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                raise FactError(f"The {name} holds half of a character (a lone surrogate), which no tokenizer reads.")
        template, subject = self.template.rstrip(), self.subject.strip()
        if not template:
            raise FactError("The prompt is empty. Write a prompt such as '{} is in downtown'.")
        if not subject:
            raise FactError("The subject is empty. Say what the prompt is about, for example 'The Space Needle'.")
        if self.target is not None and not self.target.strip():
            raise FactError("The new object is empty. Write what the model shall answer, for example 'Paris'.")
        if self.object is not None and not self.object.strip():
            raise FactError("The object is empty. Write what the fact says, for example 'Seattle', or leave it out.")
        slots = template.count(SLOT)
        if slots > 1:
            raise FactError(
                f"The prompt marks the subject {slots} times with '{{}}': {template!r}. "
                "Mark the occurrence to be traced, and write the others out."
            )
        if slots == 0:
            template = _mark(template, subject)
        target, wanted = self.target and self.target.strip(), self.object and self.object.strip()
        for name, text in {"template": template, "subject": subject, "target": target, "object": wanted}.items():
            object.__setattr__(self, name, text)

    @property
    def prompt(self) -> str:
        """The prompt as the model reads it, the subject in its place."""
        return self.template.replace(SLOT, self.subject)

    @property
    def subject_span(self) -> tuple[int, int]:
        """First character of the subject in `prompt`, and the one after its last."""
        start = self.template.index(SLOT)
        return start, start + len(self.subject)

    def with_template(self, template: str) -> Fact:
        """Return the same subject and target in another prompt."""
        return replace(self, template=template)

    def with_prefix(self, prefix: str) -> Fact:
        """Return the fact with `prefix` put in front of its prompt."""
        return replace(self, template=prefix.replace(SLOT, "{ }") + self.template)

    def with_target(self, target: str | None) -> Fact:
        """Return the fact with another new object."""
        return replace(self, target=target)


def _mark(prompt: str, subject: str) -> str:
    """Put ``{}`` where `subject` first stands in `prompt`, as a whole word if it does so anywhere."""
    start = prompt.find(subject)
    if start < 0:
        near = prompt.lower().find(subject.lower())
        hint = f" It has {prompt[near : near + len(subject)]!r}: mind the spelling." if near >= 0 else ""
        raise FactError(
            f"The subject {subject!r} is not in the prompt {prompt!r}.{hint} "
            "Write the subject as it stands in the prompt, or mark its place with '{}'."
        )
    candidate = start
    while candidate >= 0:
        end = candidate + len(subject)
        before, after = prompt[:candidate][-1:], prompt[end : end + 1]
        if not (before.isalnum() and subject[0].isalnum()) and not (after.isalnum() and subject[-1].isalnum()):
            start = candidate
            break
        candidate = prompt.find(subject, candidate + 1)
    return prompt[:start] + SLOT + prompt[start + len(subject) :]
