"""The README's table of figures and the plots, drawn from the committed results and nothing else.

    python -m benchmarks.report

writes the table between the two marks in README.md, and `docs/plots/*.png`. A test fails where the
table is not the one that the results give.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.report_rows import (
    alert_latency_row,
    alerts_row,
    loop_row,
    recovery_rows,
    rule_test_row,
    soak_row,
)

RESULTS, PLOTS, README = Path("benchmarks/results"), Path("docs/plots"), Path("README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Result = dict[str, Any]


def result(name: str) -> Result:
    return json.loads((RESULTS / f"{name}.json").read_text())


def is_measured(name: str) -> bool:
    return (RESULTS / f"{name}.json").exists()


def interval(estimate: list[float]) -> str:
    value, low, high = estimate
    return f"{value:.2f} ({low:.2f}–{high:.2f})"


def table() -> str:
    """Markdown of every figure that the README shows."""
    speed = [*_speed(result("ingest"), result("decode")), *_live(result("live"))]
    rows_of: dict[str, Callable[[Result], list[str]]] = {
        "latency": latency_rows,
        "alerts": lambda measured: [alerts_row(measured)],
        "loop": lambda measured: [loop_row(measured)],
        "alert_latency": lambda measured: [alert_latency_row(measured)],
        "rule_test": lambda measured: [rule_test_row(measured)],
        "cameras": camera_rows,
        "scaling": scaling_rows,
        "archive": lambda measured: [archive_row(measured)],
        "bus": bus_rows,
        "serving": serving_rows,
        "faults": recovery_rows,
        "soak": lambda measured: [soak_row(measured)],
    }
    for name, rows in rows_of.items():
        if is_measured(name):
            speed += rows(result(name))
    texts = [peer_text(result("cameras"))] if is_measured("cameras") else []
    return "\n\n".join([*_accuracy(result("accuracy")), "\n".join(speed), *texts])


def _accuracy(accuracy: Result) -> list[str]:
    notes = accuracy["notes"]
    rows = [
        "| notes of clips, against the script | longwatch-nano | blind | random | aim |",
        "|---|---|---|---|---|",
    ]
    for label, key, aim in (
        ("precision of facts", "precision", "0.90"),
        ("recall of facts", "recall", "0.90"),
        ("“nothing happens” recognised", "calm_recognised", "0.97"),
    ):
        cells = [_cell(notes[who][key]) for who in ("longwatch", "blind", "random")]
        rows.append(f"| {label} | {' | '.join(cells)} | {aim} |")
    answers = accuracy["answers"]
    rows += [
        "",
        "| answers, parsed values | longwatch-nano | blind | random | aim |",
        "|---|---|---|---|---|",
    ]
    for label, key, aim in (
        ("all kinds, phrasings seen in training", "seen", "0.85"),
        ("all kinds, phrasings never seen", "unseen", "0.75"),
        *((f"{kind}, seen", f"seen {kind}", "0.75") for kind in
          ("when", "between", "count", "order", "state", "exists")),
        ("“never happened”, denied", "never happened, denied", "0.90"),
        ("when: R@0.5", "when, R@0.5", "0.80"),
    ):  # fmt: skip
        cells = [_cell(answers[who][key]) for who in ("longwatch", "blind", "random")]
        rows.append(f"| {label} | {' | '.join(cells)} | {aim} |")
    return ["\n".join(rows)]


def _cell(value: list[float] | float) -> str:
    return interval(value) if isinstance(value, list) else f"{value:.2f}"


def _speed(ingest: Result, decode: Result) -> list[str]:
    watched, answers = ingest["end_to_end"], ingest["answers"]
    ratios = [
        max(case["cpu_ratios"].items(), key=lambda one: one[1]["median"])
        for case in decode["comparisons"]
    ]
    worst_tool, worst = max(ratios, key=lambda one: one[1]["median"])
    return [
        "| speed and size, two cores | measured | aim |",
        "|---|---|---|",
        f"| capture alone, from a file | {ingest['capture_alone']['times_real_time']:.0f} times "
        "real time | 500 |",
        f"| end to end, 640x360 at 15 fps | {watched['times_real_time']:.0f} times real time "
        "| 30 |",
        f"| peak memory of the service over {watched['hours']:.0f} h of footage "
        f"| {watched['peak_mib']:.0f} MiB | 1536 |",
        f"| first word of an answer at {watched['hours']:.0f} h of memory, p95 "
        f"| {answers['first_word_s']['p95']:.2f} s | 1.5 s |",
        f"| whole answer, p95 | {answers['whole_answer_s']['p95']:.2f} s | 5 s |",
        f"| sampling 1 fps, CPU beside the best other tool ({worst_tool}, worst case) "
        f"| {worst['median']:.2f} | 1 |",
    ]


def _live(live: Result) -> list[str]:
    large, *_, ten = live["rows"]
    published_s = ten["filmed_to_published_s"]
    return [
        "| capturing a camera live, 1080p25 over RTSP, of one core "
        f"| {large['cpu_percent_of_a_core']:.1f} % | 1 % |",
        f"| capturing {ten['cameras']} cameras of 640x360 at 25 fps, of one core "
        f"| {ten['cpu_percent_of_a_core']:.1f} % | – |",
        "| from filmed to published, segments of 2 s, p50 and p95 "
        f"| {published_s['p50']:.1f} s, {published_s['p95']:.1f} s | – |",
    ]


def latency_rows(latency: Result) -> list[str]:
    rows: list[str] = []
    for row in latency["rows"]:
        cameras = "a camera" if row["cameras"] == 1 else f"{row['cameras']} cameras"
        whole_s = row["last_picture_to_remembered_s"]
        stored_s = row["of_that_until_its_segment_was_published_s"]
        rows.append(
            f"| {cameras}: from the last picture of a clip to its being remembered, p50 and p95 "
            f"| {whole_s['p50']:.1f} s, {whole_s['p95']:.1f} s; of that until its segment is "
            f"published {stored_s['p50']:.1f} s, {stored_s['p95']:.1f} s | – |"
        )
    return rows


def camera_rows(cameras: Result) -> list[str]:
    rows, cores = cameras["rows"], cameras["cores_used"]
    kept = max((row["cameras"] for row in rows if row["keeps_up"]), default=0)
    least = rows[0]
    most = max(rows, key=lambda row: row["cameras"] if row["keeps_up"] else 0)
    costs = [100 * sum(row["cpu_s_a_camera_second"].values()) for row in (least, most)]
    return [
        "| cameras of 640x360 at 15 fps that are kept up with, beside the cameras themselves "
        f"| {kept} on {cores} {'core' if cores == 1 else 'cores'} | – |",
        f"| a camera, captured, analysed and indexed, of one core: of {least['cameras']}, and "
        f"of {most['cameras']} | {costs[0]:.1f} %, {costs[1]:.1f} % | – |",
    ]


def scaling_rows(scaling: Result) -> list[str]:
    """What is kept up with, and what the most cameras cost, which is more than can be done."""
    rows, cores = scaling["rows"], scaling["cores_used"]
    kept = max((row["cameras"] for row in rows if row["keeps_up"]), default=0)
    least, most = rows[0], rows[-1]
    costs_s = [row["cpu_s_a_camera_minute"] for row in (least, most)]
    return [
        f"| replayed cameras whose analysis is kept up with, of a core | {kept / cores:g} | – |",
        f"| processor time of analysis for a minute of a camera: of {least['cameras']}, and of "
        f"{most['cameras']} | {costs_s[0]:.2f} s, {costs_s[1]:.2f} s | – |",
        f"| how far {most['cameras']} replayed cameras fall behind in a minute, on {cores} "
        f"{'core' if cores == 1 else 'cores'} | {most['falls_behind_s_a_minute']:.0f} s | – |",
    ]


def archive_row(archive: Result) -> str:
    alone, on_ray = archive["without_ray"], archive["on_ray"]
    return (
        f"| an archive of {on_ray['files']} files, taken in by two workers on Ray of which one is "
        f"killed, without the model's time | {on_ray['files_a_second']:.1f} files a second, "
        f"{on_ray['said']['remembered']} remembered once; by one process "
        f"{alone['files_a_second']:.1f} a second | – |"
    )


def peer_text(cameras: Result) -> str:
    peer = cameras["beside"]
    return (
        "Cameras are kept up with while 95 % of their clips are remembered before the next one "
        f"ends. Beside that, {peer['name']}: {peer['captioning_streams']} streams with captions, "
        f"{peer['alerting_streams']} with alerts ({peer['conditions']})."
    )


def bus_rows(bus: Result) -> list[str]:
    rows: list[str] = []
    for row in bus["rows"]:
        rates = {name: one["messages_a_second"]["median"] for name, one in row["rivals"].items()}
        times = row["times_as_fast_as"]["kafka-python"]["median"]
        rows.append(
            f"| messages {row['job']}, through Kafka | {rates['KafkaBus']:.0f} a second, "
            f"{times:.2f} times kafka-python alone; SQLite {rates['SqliteBus']:.0f} | 1 |"
        )
    return rows


def serving_rows(serving: Result) -> list[str]:
    """By how many clients ask at once; ratios as they are, also where they are below 1.

    Parts that were not measured yet have no row.
    """
    by_clients = serving["rows"]
    talks = [row["conversation"] for row in by_clients if "conversation" in row]
    ours = [row["rivals"]["sglang"] for row in by_clients]
    first_s = [
        f"{one['first_token_s']['p50']:.2f} s, {one['first_token_s']['p95']:.2f} s" for one in ours
    ]
    gains = [_rate(talk["clips read before"]) / _rate(talk["new clips"]) for talk in talks]
    read_before = (
        f"| answers about two clips, read before beside new ones | {_each(gains)} times | 1 |"
    )
    clients = " and ".join(str(row["clients"]) for row in by_clients)
    device = serving["device"].upper()
    return [
        f"| questions answered by SGLang on the {device}, for {clients} clients at once "
        f"| {_each(map(_rate, ours))} a second | – |",
        *(
            f"| of these, beside {name}, for as many clients "
            f"| {_each(row['times_as_fast_as'][rival]['median'] for row in by_clients)} times | 1 |"
            for rival, name in (
                ("sglang, sent frames", "sending the frames of each clip"),
                ("engine", "the engine in process"),
                ("generate", "batches of `generate`"),
            )
            if rival in by_clients[0]["times_as_fast_as"]
        ),
        f"| of these, until the first token, p50 and p95 | {'; '.join(first_s)} | – |",
        *([read_before] if talks else []),
        "| what the HTTP API adds to an answer, median "
        f"| {serving['api']['added_ms']['median']:.1f} ms | 5 ms |",
    ]


def _rate(rival: Result) -> float:
    return rival["questions_a_second"]["median"]


def _each(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def plot_cameras(cameras: Result) -> None:
    rows = cameras["rows"]
    kept = [row for row in rows if row["keeps_up"]]
    counts = [row["cameras"] for row in kept]
    figure, (cost, late) = plt.subplots(1, 2, figsize=(9, 3.2))
    parts = list(rows[0]["cpu_s_a_camera_second"])
    shares = [[100 * row["cpu_s_a_camera_second"][part] for row in kept] for part in parts]
    cost.stackplot(counts, shares, labels=parts)
    cost.set(xscale="log", xlabel="cameras", ylabel="of a core, a camera, %")
    cost.legend(fontsize=7)
    seen = [row for row in rows if row["behind_live_s"]["p95"] is not None]
    for name in ("p50", "p95"):
        values = [row["behind_live_s"][name] for row in seen]
        late.plot([row["cameras"] for row in seen], values, marker="o", label=name)
    late.axhline(10, color="black", linewidth=0.8, label="a clip")
    late.set(xscale="log", xlabel="cameras", ylabel="behind live, s")
    late.set_ylim(bottom=0)
    late.legend(fontsize=7)
    _save(figure, "cameras")


def plot_scaling(scaling: Result) -> None:
    rows = scaling["rows"]
    counts = [row["cameras"] for row in rows]
    figure, (cost, share, late) = plt.subplots(1, 3, figsize=(11, 3.2))
    cost.plot(counts, [row["cpu_s_a_camera_minute"] for row in rows], marker="o")
    cost.set(xscale="log", xlabel="cameras", ylabel="CPU seconds, a minute of a camera")
    share.plot(counts, [100 * row["share_of_cores"] for row in rows], marker="o")
    share.set(xscale="log", xlabel="cameras", ylabel=f"of {scaling['cores_used']} cores, %")
    for name in ("p50", "p95"):
        late.plot(counts, [row["behind_live_s"][name] for row in rows], marker="o", label=name)
    late.axhline(10, color="black", linewidth=0.8, label="a clip")
    late.set(xscale="log", xlabel="cameras", ylabel="behind live, s")
    late.legend(fontsize=7)
    for axes in (cost, share, late):
        axes.set_ylim(bottom=0)
    _save(figure, "scaling")


def plot_memory(ingest: Result) -> None:
    curve = ingest["end_to_end"]["curve_s_hours_mib"]
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot([hours for _, hours, _ in curve], [mib for _, _, mib in curve])
    axes.set(xlabel="hours of footage remembered", ylabel="memory of the service, MiB")
    axes.set_ylim(bottom=0)
    _save(figure, "memory")


def plot_compression(compression: Result) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.4))
    for kind in dict.fromkeys(row["compression"]["kind"] for row in compression["rows"]):
        rows = sorted(
            (row for row in compression["rows"] if row["compression"]["kind"] == kind),
            key=lambda row: row["tokens"],
        )
        found = [row["mean_average_precision"] for row in rows]
        low, high = zip(*(row["interval"] for row in rows), strict=True)
        reach = [
            [value - bottom for value, bottom in zip(found, low, strict=True)],
            [top - value for value, top in zip(found, high, strict=True)],
        ]
        axes.errorbar(
            [row["tokens"] for row in rows], found, yerr=reach, marker="o", capsize=3, label=kind
        )
    axes.set(xlabel="visual tokens a clip", ylabel="subjects found, mAP")
    axes.legend()
    _save(figure, "compression")


def plot_decode(decode: Result) -> None:
    cases = decode["comparisons"]
    tools = list(cases[0]["cpu_ratios"])
    figure, axes = plt.subplots(figsize=(7, 3.4))
    for number, tool in enumerate(tools):
        axes.bar(
            [at + number / (len(tools) + 1) for at in range(len(cases))],
            [case["cpu_ratios"][tool]["median"] for case in cases],
            width=1 / (len(tools) + 1),
            label=tool,
        )
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(
        [at + 0.4 for at in range(len(cases))],
        [f"{case['size_px'][0]} px, {case['threads']} thr." for case in cases],
        fontsize=7,
    )
    axes.set(ylabel="our CPU time / theirs")
    axes.legend(fontsize=7)
    _save(figure, "decode")


def _save(figure: Figure, name: str) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(PLOTS / f"{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")
    plot_memory(result("ingest"))
    plot_compression(result("compression"))
    plot_decode(result("decode"))
    if is_measured("cameras"):
        plot_cameras(result("cameras"))
    if is_measured("scaling"):
        plot_scaling(result("scaling"))


if __name__ == "__main__":
    main()
