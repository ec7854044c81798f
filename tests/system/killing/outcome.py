"""What a round of kills comes to."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class KillOutcome:
    """Figures and faults; several threads may add to it.

    Attributes:
        what: was killed.
        kills: how often.
        phases: what it was doing then.
        checked: what was looked at, and how often.
        faults: what was not as it must be; empty if all is well.
    """

    what: str
    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def check(self, what: str, right: bool, fault: str) -> bool:
        """Count one look, and remember what it saw if that is wrong."""
        self.checked[what] += 1
        if not right:
            self.faults.append(f"{what}: {fault}")
        return right

    def row(self) -> tuple[str, int, str, str, int]:
        """Of the table that a check ends with."""
        return self.what, self.kills, _told(self.phases), _told(self.checked), len(self.faults)


def _told(counts: Counter[str]) -> str:
    return "\n".join(f"{number:,} {what}" for what, number in counts.most_common())
