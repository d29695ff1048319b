"""What a run says at its end: tables, report.json, and the closing line."""

import json

import faults
import ledger
from files import BadRow, read_gap
from traffic import CLASSES, SAMPLES_A_FRAME


def table(head, rows):
    texts = [[str(c) for c in r] for r in [head, *rows]]
    widths = [max(len(r[i]) for r in texts) for i in range(len(head))]
    for r in texts:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))).rstrip())
    print()


def say_faults(world):
    rows = []
    for kind in faults.KINDS:
        if not world.injected[kind] and not world.missed[kind]:
            continue
        times = world.recovered.get(kind, [])
        still = sum(1 for r in world.recovering if r[0] == kind)
        rows.append([kind, world.injected[kind], world.missed[kind],
                     f"{sum(times) / len(times):.2f}" if times else "-",
                     f"{max(times):.2f}" if times else "-", still])
    print("faults (missed: nothing was there to be hit; recovered: seconds until what an agent stored "
          "after the fault was at the relay):")
    table(["kind", "injected", "missed", "mean s", "max s", "only at the end"], rows)


def totals(results):
    sums = {name: ledger.ClassResult() for name in CLASSES}
    for classes in results.values():
        for name, r in classes.items():
            sums[name].add(r)
    all_ = ledger.ClassResult()
    for r in sums.values():
        all_.add(r)
    return sums, all_


def say_classes(sums, all_):
    n = SAMPLES_A_FRAME
    print("samples (open: in no closed batch when an agent was killed; unsynced: of relaxed classes, "
          "taken by a power cut; neither was accepted):")
    rows = []
    for name, r in [*sums.items(), ("all", all_)]:
        told = " ".join(f"{k}={v * n}" for k, v in sorted(r.gaps.items())) or "-"
        rows.append([name, r.accepted * n, r.delivered * n, sum(r.gaps.values()) * n, r.lost * n,
                     r.duplicated * n, r.open * n, r.power * n, told])
    table(["class", "accepted", "delivered", "gaps", "lost", "duplicated", "open", "unsynced",
           "gaps by reason"], rows)


def report(world, sums, all_, good):
    path = world.folder / "report.json"
    path.write_text(json.dumps({
        "seed": world.args.seed, "minutes": world.args.minutes, "agents": world.args.agents,
        "good": good, "schedule": [f._asdict() for f in world.schedule], "events": world.events,
        "injected": world.injected, "missed": world.missed, "recovered_s": world.recovered,
        "troubles": world.fleet.troubles, "problems": all_.problems,
        "classes": {k: {**vars(r), "problems": None} for k, r in sums.items()},
    }, indent=1, default=str))
    return path


def write_seen(world):
    """Each row that was seen in an outbox: to find out what became of it."""
    with open(world.folder / "seen.tsv", "w") as out:
        out.write("agent\tepoch\tclass\tseq\tsamples\tencoding\tseen_s\tframes\n")
        for agent in world.fleet.agents:
            for (epoch, klass, seq), variants in sorted(agent.seen.items()):
                for row, when in variants:
                    try:
                        frames = world.decoder.counts(row)
                    except BadRow as e:
                        frames = [str(e)]
                    ends = f"{frames[0]}-{frames[-1]}" if frames else read_gap(row.body)
                    out.write(f"{agent.name}\t{epoch:016x}\t{CLASSES[klass]}\t{seq}\t{row.samples}\t"
                              f"{row.encoding}\t{when - world.began:.2f}\t{ends}\n")


def say_failure(world, all_, folder):
    write_seen(world)
    for text in world.fleet.troubles:
        print(f"trouble: {text}")
    for text in all_.problems[:40]:
        print(f"problem: {text}")
    if len(all_.problems) > 40:
        print(f"problem: and {len(all_.problems) - 40} more: report.json has them all")
    print(f"kept: {folder} (logs, databases, report.json)")


def verdict(world, results):
    sums, all_ = totals(results)
    n = SAMPLES_A_FRAME
    injected = sum(world.injected.values())
    vacuous = injected == 0 or all_.delivered == 0
    if vacuous:
        world.fleet.trouble("nothing was injected, or nothing delivered: this run shows nothing")
    good = (all_.lost == 0 and all_.duplicated == 0 and not vacuous and not world.fleet.troubles
            and not all_.problems)
    print()
    say_faults(world)
    say_classes(sums, all_)
    report(world, sums, all_, good)
    if not good:
        say_failure(world, all_, world.folder)
    print(f"faults: injected={injected} accepted={all_.accepted * n} delivered={all_.delivered * n} "
          f"gaps={sum(all_.gaps.values()) * n} lost={all_.lost * n} duplicated={all_.duplicated * n}")
    return good
