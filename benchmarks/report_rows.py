"""Rows of the README about alerts, faults and the soak: a result in, lines of Markdown out."""

from statistics import median
from typing import Any

Result = dict[str, Any]


def loop_row(loop: Result) -> str:
    """Questions answered rightly before and after something new was learnt."""
    new, known = (
        f"{loop[f'{name}_before']['right']} and {loop[f'{name}_after']['right']} "
        f"of {loop[f'{name}_after']['asked']}"
        for name in ("new", "known")
    )
    return (
        f"| something new learnt in {round(loop['seconds'] / 60)} minutes: questions about it "
        f"answered rightly before and after, and about all else | {new}; {known} "
        "| under 0.1 and 0.8; 0.02 lost |"
    )


def alert_latency_row(latency: Result) -> str:
    """From what begins on a camera to the message that tells of it."""
    rows = latency["rows"]
    told = "; ".join(
        f"{row['onset_to_told_s']['p50']:.1f} s, {row['onset_to_told_s']['p95']:.1f} s"
        for row in rows
    )
    rules = ", ".join(str(row["rules"]) for row in rows)
    return (
        f"| from something's beginning on one of {rows[0]['cameras']} cameras to its alert, for "
        f"{rules} rules, p50 and p95 | {told} | 5 s |"
    )


def alerts_row(alerts: Result) -> str:
    """Of rules of all kinds together; the result's file tells of each."""
    told = alerts["longwatch, all kinds"]
    return (
        f"| alerts of {told['rules']} rules of all kinds on held-out footage: precision, recall "
        f"and false alarms of a rule in a day | {told['precision'][0]:.3f}, "
        f"{told['recall'][0]:.3f}, {told['false_alarms_a_day_of_a_rule']:g} | 0.90, 0.90, – |"
    )


def rule_test_row(tried: Result) -> str:
    """Of the kinds, the quickest and the slowest, by the median of their rules."""
    seconds = {kind: one["seconds_a_day"]["p50"] for kind, one in tried["kinds"].items()}
    least, *_, most = sorted(seconds, key=lambda kind: seconds[kind])
    cores = tried["cores_used"]
    return (
        f"| a rule tried on a day of memory, on {cores} {'core' if cores == 1 else 'cores'}: "
        f"“{least}”, and the slowest kind, “{most}” "
        f"| {seconds[least]:.0f} s, {seconds[most]:.0f} s | 20 s |"
    )


def recovery_rows(faults: Result) -> list[str]:
    """From the end of a fault on; of each kind, and how it was caused, the result's file tells."""
    of_each: Result = faults["recovery"]
    slowest = sorted(of_each, key=lambda fault: of_each[fault]["max_s"])[-3:]
    told = ", ".join(f"{of_each[fault]['max_s']:.0f} s after “{fault}”" for fault in slowest[::-1])
    medians_s = [of_one["p50_s"] for of_one in of_each.values()]
    return [
        f"| after one of {len(of_each)} kinds of fault, until every service is ready and nothing "
        f"waits, median and the three slowest | {median(medians_s):.1f} s; {told} | – |"
    ]


def soak_row(soak: Result) -> str:
    """What each service holds more of after the hours, at most; less is none."""
    grown = [
        max(
            0, max(one[what]["last"] - one[what]["first"] for one in soak["after_warm_up"].values())
        )
        for what in ("files", "threads", "rss_mib")
    ]
    return (
        f"| {soak['hours']:g} h in which four live streams were lost and found {soak['cycles']} "
        "times: more open files, threads and MiB in any service "
        f"| {grown[0]:.0f}, {grown[1]:.0f}, {grown[2]:.0f} | 0 |"
    )
