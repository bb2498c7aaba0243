"""Addresses of who is told, where they hold a secret: outside the record, as those of cameras are.

The whole address, with a broker's user or a webhook's path, is sealed. The record has it without
these, and the name that it is sealed under after `#`.
"""

from collections.abc import Collection

from services.alerts.rules import Rule
from services.alerts.sinks import Sink, parse_sink
from services.errors import BadRule, NotDelivered, SecretUnreadable
from services.secrets import Secrets

PREFIX = "to."  # no name of a stream has a dot


class SealedSinks:
    """Addresses among the secrets, by rule. Safe to call from several processes."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def seal(self, rule: Rule) -> Rule:
        """The rule as the record may have it.

        Raises:
            BadRule, SettingsError, StoreError
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
        remedy = "remove the rule and add it again"
        try:
            whole = self._secrets.get(PREFIX + sink.sealed_as)
        except SecretUnreadable as error:
            reason = f"its address cannot be opened: {error.reason}; give the key back, or {remedy}"
            raise NotDelivered(sink.shown, reason=reason) from error
        if whole is None:
            raise NotDelivered(sink.shown, reason=f"its address is gone; {remedy}")
        return parse_sink(whole)

    def keep_only(self, rule_ids: Collection[str], *, since_s: float) -> int:
        """Delete the addresses of other rules from before a time, and say how many there were.

        Those of a rule that is being added are there before the rule is.
        """
        gone = [
            name
            for name in self._secrets.names(until_s=since_s)
            if name.startswith(PREFIX)
            and name.removeprefix(PREFIX).rpartition(".")[0] not in rule_ids
        ]
        for name in gone:
            self._secrets.delete(name)
        return len(gone)

    def _sealed(self, sink: Sink, name: str) -> str:
        if sink.sealed_as is not None:
            raise BadRule("what such an address has after # is ours; write it whole")
        if not sink.is_secret:
            return sink.text
        self._secrets.put(PREFIX + name, sink.text)
        return sink.sealed(name)
