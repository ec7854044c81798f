"""Result of a round of kills."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class KillOutcome:
    """Figures and faults; several threads may add to it.

    Attributes:
        what: killed program.
        kills: number of kills.
        phases: program's activity at each kill, counted.
        checked: number of checks by kind.
        faults: as messages; empty on success.
    """

    what: str
    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def check(self, what: str, right: bool, fault: str) -> bool:
        """Count a check, and record a fault if it failed."""
        self.checked[what] += 1
        if not right:
            self.faults.append(f"{what}: {fault}")
        return right

    def row(self) -> tuple[str, int, str, str, int]:
        """Format as a row of the final table."""
        return self.what, self.kills, _told(self.phases), _told(self.checked), len(self.faults)


def _told(counts: Counter[str]) -> str:
    return "\n".join(f"{number:,} {what}" for what, number in counts.most_common())
