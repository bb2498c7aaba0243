"""Addresses of who is told, where they hold a secret: outside the record, as those of cameras are.

The whole address, with a broker's user or a webhook's path, lies in a file that only its owner may
read. The record has it without these, and the name of the file after `#`.
"""

from collections.abc import Collection
from pathlib import Path

from memory.errors import from_os_error
from services.alerts.rules import Rule
from services.alerts.sinks import Sink, parse_sink
from services.errors import BadRule, NotDelivered

PREFIX = "to."  # no name of a stream has a dot


class SealedSinks:
    """Addresses in a folder, by rule. Safe to call from several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def seal(self, rule: Rule) -> Rule:
        """The rule as the record may have it.

        Raises:
            BadRule, StoreError
        """
        to = [self._sealed(sink, f"{rule.rule_id}.{n}") for n, sink in enumerate(rule.sinks, 1)]
        return rule.model_copy(update={"to": tuple(to)})

    def whole(self, sink: Sink) -> Sink:
        """The address to be told, secrets included: for connecting, never for showing.

        Raises:
            NotDelivered
        """
        if sink.sealed_as is None:
            return sink
        try:
            return parse_sink(self._path(sink.sealed_as).read_text())
        except OSError as error:
            reason = "its address cannot be read from credentials/; add the rule again"
            raise NotDelivered(sink.shown, reason=reason) from error

    def keep_only(self, rule_ids: Collection[str], *, since_s: float) -> int:
        """Delete the addresses of other rules from before a time, and say how many there were.

        Those of a rule that is being added are there before the rule is.
        """
        gone = [
            path
            for path in self._folder.glob(f"{PREFIX}*")
            if path.name.removeprefix(PREFIX).rpartition(".")[0] not in rule_ids
            and path.stat().st_mtime < since_s
        ]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    def _sealed(self, sink: Sink, name: str) -> str:
        if sink.sealed_as is not None:
            raise BadRule("what such an address has after # is ours; write it whole")
        if not sink.is_secret:
            return sink.text
        path = self._path(name)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(sink.text)
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        return sink.sealed(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{PREFIX}{name}"
