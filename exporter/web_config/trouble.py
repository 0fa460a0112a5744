"""What is gathered about a file while it is read."""

from dataclasses import dataclass, field

from exporter.config.document import Document, Steps
from exporter.config.result import Problem


@dataclass(frozen=True, slots=True)
class Trouble:
    """Errors and warnings, each with its place in the document."""

    document: Document
    errors: list[Problem]
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, at: Steps, message: str) -> None:
        """Add an error."""
        self.errors.append(self.document.problem(at, message))

    def warn(self, at: Steps, message: str) -> None:
        """Add a warning."""
        self.warnings.append(self.document.problem(at, message))
