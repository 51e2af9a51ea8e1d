"""`--cluster`: the facts of a live cluster for a command that runs once.

The webhook's own caches are used, so that both know the same; what is different is time. A cluster that does not
answer, or answers "forbidden", makes facts Unknown with that as the reason, after a bounded wait. What the input brings
along (a Namespace, a Secret beside the Deployment) counts as being there: it is applied together.

Must not: write anything, or wait longer than it was told in all (once for the caches, once for single reads).
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from webhook.model.facts import Facts, Known, SecretRef, Unknown
from webhook.model.policy import ClusterPolicy
from webhook.model.policy_book import PolicyBook
from webhook.sources.cluster import LiveCluster
from webhook.sources.connection import connect

if TYPE_CHECKING:
    from webhook.model.policy import Policy
    from webhook.model.workload import Workload
    from webhook.sources.given import Given

_POLL_SECONDS: Final = 0.02
_PER_READ_SECONDS: Final = 2.0


class ClusterFacts:
    """The facts of the cluster that kubeconfig and context name. Raises ConnectionSettingsError."""

    def __init__(self, kubeconfig: str | None, context: str | None, *, seconds: float) -> None:
        # the caches log every failed try, for a webhook that runs for months; here the reason is told once
        logging.getLogger("webhook.sources").setLevel(logging.CRITICAL)
        connection = connect(kubeconfig, context)
        self.namespace = connection.namespace
        self._seconds = seconds
        self._cluster = LiveCluster(connection)
        self._policy = ClusterPolicy()
        self._given: Given | None = None
        self._book: PolicyBook | None = None
        self._read_until = 0.0
        self._unreachable: Unknown | None = None

    def begin(self, given: Given) -> None:
        """Fill the caches, for at most the time given; `given` is what the input brings along."""
        self._given = given
        self._cluster.start()
        until = time.monotonic() + self._seconds
        while time.monotonic() < until and not all(
            state.synced or state.last_error for state in self._cluster.states()
        ):
            time.sleep(_POLL_SECONDS)
        self._read_until = time.monotonic() + self._seconds

    def facts(self, workload: Workload) -> Facts:
        """What is known around a workload."""
        left = self._read_until - time.monotonic()
        if left <= 0:
            missing = self._cluster.not_ready()
            reason = Unknown(f"the cluster did not answer in time{f': {missing}' if missing else ''}")
            facts = Facts(
                namespace_labels=reason, pull_secrets=reason, nodes=reason, runtime_class=reason, now=int(time.time())
            )
        else:
            facts = self._cluster.facts(workload, self._policy, seconds=min(left, _PER_READ_SECONDS), stored=False)
        return facts if self._given is None else self._with_given(facts, workload, self._given)

    def _with_given(self, facts: Facts, workload: Workload, given: Given) -> Facts:
        labels = given.labels(workload.namespace)
        if labels is not None:
            facts = replace(facts, namespace_labels=Known(labels))
        if labels is not None or given.policies():
            facts = replace(facts, policy=self._policy_with(given, workload.namespace, facts))
        if isinstance(facts.pull_secrets, Known):
            listed = facts.pull_secrets.value

            def with_given(ref: SecretRef) -> SecretRef:
                secret = given.secret(workload.namespace, ref.name)
                return ref if secret is None else SecretRef(ref.name, Known(secret))

            facts = replace(facts, pull_secrets=Known(replace(listed, refs=tuple(map(with_given, listed.refs)))))
        return facts

    def _policy_with(self, given: Given, namespace: str, facts: Facts) -> Policy:
        """What holds once the input is applied: its policies beside the cluster's, or instead of their namesakes."""
        if self._book is None:
            there = {policy.source: policy for policy in self._cluster.policies()}
            self._book = PolicyBook(self._policy, {**there, **given.policies()}.values())
        labels = facts.namespace_labels
        return self._book.policy(namespace, labels.value) if isinstance(labels, Known) else self._book.unread(namespace)
