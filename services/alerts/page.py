"""What a rule would have raised, as one page to look through: a file that needs no other. Pure."""

import base64
from collections.abc import Callable, Iterable
from html import escape

from services.moments import show_ns
from streaming.messages import Alert

Picture = Callable[[Alert], bytes | None]
"""A JPEG of an alert; None where nothing is stored of it any more."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; }}
ol {{ display: flex; flex-wrap: wrap; gap: 1.5em; list-style: none; padding: 0; }}
li {{ width: 320px; }}
img, .none {{ width: 320px; min-height: 120px; background: #ddd; display: block; }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<ol>
{items}
</ol>
</html>
"""
_ITEM = """<li>{picture}<time datetime="{start}">{shown_at}</time><br>
{stream} {times}, {probability:.2f}</li>"""
_IMAGE = '<img alt="" src="data:image/jpeg;base64,{data}">'
_NONE = '<div class="none">no picture is stored</div>'


def page_of(sentence: str, summary: str, alerts: Iterable[Alert], picture: Picture) -> str:
    return _PAGE.format(
        title=escape(sentence),
        summary=escape(summary),
        items="\n".join(_item(alert, picture(alert)) for alert in alerts),
    )


def _item(alert: Alert, jpeg: bytes | None) -> str:
    at = alert.start_at.astimezone()
    return _ITEM.format(
        picture=_NONE if jpeg is None else _IMAGE.format(data=base64.b64encode(jpeg).decode()),
        start=at.isoformat(),
        shown_at=at.isoformat(sep=" ", timespec="seconds"),
        stream=escape(alert.span.stream_id),
        times=f"{show_ns(alert.span.start_ns)}–{show_ns(alert.span.end_ns)}",
        probability=alert.probability,
    )
