"""The verdict: what the agents had stored, against what the relay has, frame by frame.

Only what was fed, the outboxes at each end of an agent (and at looks in between) and the relay's log
decide; what the programs say of themselves does not.
"""

from collections import Counter
from typing import NamedTuple

from faults import sync_grace_s
from files import GAP, BadRow, Gap, read_gap
from fleet import RELAXED
from traffic import CLASSES, SAMPLES_A_FRAME

COMMIT_S = 0.3  # from when a row can be seen until it is on disk, with the looks' own delay
FAILING_S = 15.0  # likewise, while syncs fail
OPEN_BATCH_S = 10.0  # what a kill may cost of the time before it; the batches are far younger


class ClassResult:
    def __init__(self):
        self.accepted = self.delivered = self.lost = self.duplicated = 0  # frames
        self.gaps = Counter()  # reason -> frames
        self.open = 0  # frames that were in no closed batch when the agent died
        self.power = 0  # frames of a relaxed class that a power cut took, younger than its sync
        self.problems = []

    def add(self, other):
        for name in ("accepted", "delivered", "lost", "duplicated", "open", "power"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.gaps += other.gaps
        self.problems += other.problems


class Place(NamedTuple):
    """Where a counter was: for ordering, (age of the epoch, seq)."""
    life: int
    age: int
    seq: int


class Ledger:
    """One agent, one class."""

    def __init__(self, agent, klass, rows, gaps, earlier, decoder):
        """rows, gaps: the relay's in the end; earlier: rows that the relay once had and has lost."""
        self.agent, self.klass, self.decoder = agent, klass, decoder
        self.rows = [r for r in rows if r.klass == klass]
        self.gaps = [g for g in gaps if g.klass == klass]
        self.earlier = [r for r in earlier if r.klass == klass]
        self.result = ClassResult()
        self.epochs = self.order_epochs()
        self.delivered = {}  # counter -> [Row]
        self.stored = {}  # counter -> [(Row, when)]: seen in an outbox, or at the relay before

    def problem(self, text):
        self.result.problems.append(f"{self.agent.name} {CLASSES[self.klass]}: {text}")

    def order_epochs(self):
        """Epochs in the order in which the agent had them."""
        seen = {}
        for (epoch, klass, _), variants in self.agent.seen.items():
            for _, when in variants:
                seen[epoch] = min(seen.get(epoch, when), when)
        for row in self.rows + self.earlier:
            seen.setdefault(row.epoch, float("inf"))
        return {e: i for i, e in enumerate(sorted(seen, key=seen.get))}

    # ---- reading ----

    def counts(self, row):
        """Of a row of the relay."""
        try:
            return self.decoder.counts(row)
        except BadRow as e:
            self.problem(f"seq {row.seq} of {row.epoch:016x}: {e}")
            self.result.lost += max(row.samples // SAMPLES_A_FRAME, 1)
            return ()

    def stored_counts(self, row):
        """Of a row of an outbox. One that the harness has damaged may be seen before the agent does."""
        try:
            return self.decoder.counts(row)
        except BadRow as e:
            if not self.agent.damages:
                self.problem(f"outbox, seq {row.seq} of {row.epoch:016x}: {e}")
            return ()

    def read(self):
        for row in self.rows:
            for n in self.counts(row):
                self.delivered.setdefault(n, []).append(row)
        for (_, klass, _), variants in self.agent.seen.items():
            if klass == self.klass:
                for row, when in variants:
                    for n in self.stored_counts(row):
                        self.stored.setdefault(n, []).append((row, when))
        for row in self.earlier:
            for n in self.counts(row):
                self.stored.setdefault(n, []).append((row, float("inf")))

    # ---- places ----

    def place(self, row):
        age = self.epochs.get(row.epoch, len(self.epochs))
        life = 0
        for i, death in enumerate(self.agent.deaths):
            if death.state is None:
                continue
            there = self.epochs.get(death.state.epoch, -1)
            if (age, row.seq) > (there, death.state.last_seq[self.klass]) and not self.was_doomed(
                    row, death):
                life = i + 1
        return Place(life, age, row.seq)

    def was_doomed(self, row, death):
        """Taken by this power cut, though it may have been sent before. Its seq may be another's now."""
        return any(r.seq == row.seq and r.klass == row.klass and r.epoch == row.epoch
                   and self.stored_counts(r) == self.stored_counts(row) for r in death.doomed)

    def in_gap(self, epoch, seq):
        for g in self.gaps:
            if g.epoch == epoch and g.first <= seq <= g.through:
                return g
        return None

    def gap_of(self, rows):
        """A gap that one of these rows of an outbox is in, by its own name or its origin's."""
        for row, _ in rows:
            g = self.in_gap(row.epoch, row.seq)
            if not g and row.origin:
                g = self.in_gap(*row.origin)
            if g:
                return g
        return None

    @staticmethod
    def is_blank(gap):
        """Seqs that were reserved when the agent ended without a word: there should be no row of them."""
        return gap.reason == "unsaved" and gap.samples == 0

    def may_be_gone(self, rows):
        """Without number: a power cut took these, the harness has damaged them, or the relay had them
        before its log was replaced."""
        return (self.cut_away(rows) or any(when == float("inf") for _, when in rows)
                or any(d >= when for d in self.agent.damages for _, when in rows))

    def cut_away(self, rows):
        """Whether power cuts may have taken these. Of a relaxed class: young. Of another: what is
        seen in a file is committed, but perhaps on the way to the disk; so no sync was over since."""
        cuts = [d for d in self.agent.deaths if d.how == "power"]
        relaxed = CLASSES[self.klass] in RELAXED
        for row, when in rows:
            syncs = self.agent.syncs_when.get(((row.epoch, row.klass, row.seq), when), -1)
            if not any(self.may_take(d, when, relaxed, syncs) for d in cuts):
                return False
        return True

    @staticmethod
    def may_take(cut, when, relaxed, syncs):
        age = cut.when - when
        if relaxed and 0 <= age <= sync_grace_s():
            return True
        return 0 <= age <= (FAILING_S if cut.disk_trouble else COMMIT_S) and cut.syncs <= syncs

    # ---- the verdict ----

    def judge(self):
        self.read()
        r = self.result
        r.delivered = len(self.delivered)
        for n, rows in sorted(self.delivered.items()):
            if len(rows) > 1:
                r.duplicated += len(rows) - 1
                self.problem(f"frame {n} came {len(rows)} times: "
                             + ", ".join(f"seq {x.seq} of {x.epoch:016x}" for x in rows))
        self.judge_stored()
        self.judge_holes()
        r.accepted = r.delivered + sum(r.gaps.values()) + r.lost
        return r

    def judge_stored(self):
        """What was seen in an outbox is delivered, in a gap, or lost."""
        lost = []
        for n, rows in sorted(self.stored.items()):
            if n in self.delivered:
                continue
            gap = self.gap_of(rows)
            if gap and (not self.is_blank(gap) or self.may_be_gone(rows)):
                # A gap of an older outbox may be wider than what was lost with it.
                had = any(when == float("inf") for _, when in rows)
                self.result.gaps["receipted" if had else gap.reason] += 1
            elif self.cut_away(rows):
                self.result.power += 1
            else:
                lost.append((n, *rows[-1]))
        self.result.lost += len(lost)
        for first, last in runs(lost):
            (n, row, when), (m, end, then) = first, last
            self.problem(f"frames {n} to {m} are lost; stored as seq {row.seq} to {end.seq} of "
                         f"{row.epoch:016x}, seen at {when - self.agent.fleet.began:.2f} to "
                         f"{then - self.agent.fleet.began:.2f} s")

    def count_untold(self):
        """{gap: frames that it stands for beyond those of rows that were seen}. What came all the
        same (its receipt was lost, then it was dropped) may be counted in it; which, is not known."""
        self.untold = {g: self.told_by(g) for g in self.gaps}
        for n, rows in self.stored.items():
            gap = self.gap_of(rows) if n not in self.delivered else None
            if gap and not self.is_blank(gap):
                self.untold[gap] -= 1
        for g, left in self.untold.items():
            if left < 0:
                self.untold[g] = 0
                self.result.lost -= left
                self.result.gaps[g.reason] = max(self.result.gaps[g.reason] + left, 0)
                self.problem(f"the gap from {g.first} to {g.through} of {g.epoch:016x} ({g.reason}) "
                             f"tells of {g.samples} samples, {-left * SAMPLES_A_FRAME} fewer than are in it")

    def told_by(self, gap):
        """Frames that may be in it."""
        if self.is_blank(gap) and not self.agent.damages:
            return 0
        return gap.samples // SAMPLES_A_FRAME if gap.samples else float("inf")

    def judge_holes(self):
        """What was never seen: frames between two that were. All frames before the last one were
        fed, and an agent drops none; so these were in an open batch when it died, or are in gaps."""
        self.count_untold()
        known = sorted(set(self.delivered) | set(self.stored))
        holes = []
        for left, right in zip([0] + known, known):
            if right > left + 1:
                a = self.place(self.row_of(left)) if left else Place(0, -1, 0)
                b = self.place(self.row_of(right))
                holes.append((b.life > a.life, left, right, a, b))
        # Those within a run first: nothing but a gap can explain them.
        for _, left, right, a, b in sorted(holes):
            self.judge_hole(left, right, a, b)

    def row_of(self, n):
        """As it was first: what is saved from a damaged outbox gets another name."""
        if n in self.stored:
            return min(self.stored[n], key=lambda known: known[1])[0]
        return self.delivered[n][0]

    def judge_hole(self, left, right, a, b):
        missing = right - left - 1
        for g in self.gaps:
            age = self.epochs.get(g.epoch, len(self.epochs))
            if (a.age, a.seq) < (age, g.through) and (age, g.first) < (b.age, b.seq):
                taken = min(self.untold[g], missing)
                self.untold[g] -= taken
                self.result.gaps[g.reason] += taken
                missing -= taken
        if missing == 0:
            return
        death = self.death_between(a, b)
        if death is None or death.drained:
            self.result.lost += missing
            self.problem(f"frames {left + 1} to {right - 1} are lost: {missing} that no gap tells of, "
                         f"between seq {a.seq} and seq {b.seq} of one run of the agent")
            return
        self.result.open += missing
        self.check_open(left + 1, death)

    def death_between(self, a, b):
        return self.agent.deaths[b.life - 1] if b.life > a.life else None

    def check_open(self, first, death):
        """How much of its time a kill took: since the frame was made, or the agent came to read it."""
        if death.disk_trouble:
            return
        began = self.agent.feeder.written(self.klass, first)
        lives = [d for d in self.agent.deaths if d.when >= began]
        if any(d.when - max(began, d.started) <= OPEN_BATCH_S for d in lives):
            return
        self.result.lost += 1
        self.problem(f"frame {first} is lost: the agent had {death.when - began:.1f} s to store it before "
                     f"it ended ({death.how})")


def runs(lost):
    """[(first, last)] of what follows each other in number and epoch."""
    found = []
    for item in lost:
        if found and item[0] == found[-1][1][0] + 1 and item[1].epoch == found[-1][1][1].epoch:
            found[-1][1] = item
        else:
            found.append([item, item])
    return found


def gaps_of_outbox_rows(rows):
    """Gaps as they stand in an outbox (or a relay's log): rows of encoding 2."""
    found = []
    for r in rows:
        if r.encoding == GAP:
            through, reason, samples = read_gap(r.body)
            epoch, first = r.origin or (r.epoch, r.seq)
            found.append(Gap(epoch, r.klass, first, through, reason, samples))
    return found


def judge_agent(agent, rows, gaps, earlier, decoder):
    """{class name: ClassResult}"""
    return {name: Ledger(agent, k, rows, gaps, earlier, decoder).judge()
            for k, name in enumerate(CLASSES)}
