"""The names that go into commands: what is known is filled in, what is not stands as `<name>`.

Names come from messages and manifests, so anyone may have chosen them: what is filled in is quoted for the shell, and
what holds an unseen character is not filled in at all. Must not: guess a name.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webhook.model import reference
from webhook.model.text import is_visible

if TYPE_CHECKING:
    from webhook.diagnosis.cause import Diagnosis
    from webhook.model.reference import Reference

_MAX: Final = 512
# providerID of nodes: cloud-provider-azure, cloud-provider-aws, cloud-provider-gcp, IBM Cloud's cloud provider
_AZURE: Final = re.compile(
    r"(?i)^azure:///subscriptions/([^/]{1,64})/resourcegroups/([^/]{1,90})/providers/microsoft\.compute/"
    r"(?:virtualmachinescalesets/([^/]{1,80}))?"
)
_AWS: Final = re.compile(r"^aws:///([a-z]{2}(?:-[a-z]{1,12}){1,3}-\d)[a-z-]{0,12}/")
_GCE: Final = re.compile(r"^gce://([^/]{1,64})/([a-z0-9-]{1,40})/")
_IBM: Final = re.compile(r"^ibm://([^/]{0,64})///([^/]{1,64})/")
# AKS names the nodes' resource group so; a name with an underscore in it leaves open where the parts end
_AKS_GROUP: Final = re.compile(r"(?i)^mc_([^_]{1,90})_([^_]{1,63})_([a-z0-9]{1,40})$")
_ECR: Final = re.compile(r"^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]{1,40})\.")
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_.\[][A-Za-z0-9_.:/@\[\]-]*").fullmatch
_GAR: Final = re.compile(r"^([a-z0-9-]{1,40})-docker\.pkg\.dev$")


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of the cluster beside the message: a node's providerID, the cluster's name, what the pod runs as.

    `secret` is the pull secret that the pod uses or should; `workload` is `deploy/web`; `secret_in` is a namespace that
    has the secret which this one lacks. All of it may be unknown. `lone` says that nothing makes the pod again.
    """

    provider_id: str | None = None
    cluster: str | None = None
    resource_group: str | None = None
    service_account: str | None = None
    secret: str | None = None
    secret_in: str | None = None
    workload: str | None = None
    openshift: bool = False
    lone: bool = False

    @property
    def cloud(self) -> str | None:
        """`azure`, `aws`, `gcp`, `ibm` or None, by the scheme of a node's providerID."""
        scheme = (self.provider_id or "").partition(":")[0]
        return {"azure": "azure", "aws": "aws", "gce": "gcp", "ibm": "ibm"}.get(scheme)


@dataclass(frozen=True, slots=True)
class Names:
    """The words that commands are made of, each quoted or a placeholder."""

    diagnosis: Diagnosis
    place: Place

    @property
    def reference(self) -> Reference | None:
        return reference.match(self.diagnosis.image) if self.diagnosis.image else None

    @property
    def host(self) -> str | None:
        """The registry's host without port, or None."""
        return self.diagnosis.registry.partition(":")[0] if self.diagnosis.registry else None

    @property
    def registry(self) -> str:
        return filled(self.diagnosis.registry, "registry")

    @property
    def plain_registry(self) -> str:
        return plain(self.diagnosis.registry, "registry")

    @property
    def plain_container(self) -> str:
        return plain(self.diagnosis.container, "container")

    @property
    def plain_path(self) -> str:
        return plain(self.reference.path if self.reference else None, "repository")

    @property
    def image(self) -> str:
        return filled(self.diagnosis.image, "image")

    @property
    def full_image(self) -> str:
        """The reference with the registry that was asked: CRI-O may have added one."""
        found = self.reference
        if found is None or self.diagnosis.registry in (None, found.domain):
            return filled(str(found) if found else None, "image")
        return filled(f"{self.diagnosis.registry}/{found.path}:{found.effective_tag or 'latest'}", "image")

    @property
    def path(self) -> str:
        """The repository's path in its registry: `team/app`."""
        return filled(self.reference.path if self.reference else None, "repository")

    @property
    def tag(self) -> str:
        return filled(self.reference.effective_tag if self.reference else None, "tag")

    @property
    def namespace(self) -> str:
        return filled(self.diagnosis.namespace, "namespace")

    @property
    def node(self) -> str:
        return filled(self.diagnosis.node, "node")

    @property
    def pod(self) -> str:
        return filled(self.diagnosis.pod, "pod")

    @property
    def container(self) -> str:
        return filled(self.diagnosis.container, "container")

    @property
    def workload(self) -> str:
        return filled(self.place.workload, "deployment", prefix="deployment/")

    @property
    def service_account(self) -> str:
        return filled(self.place.service_account or "default", "service account")

    @property
    def secret(self) -> str:
        """The pull secret to make or renew: one that is named and missing, the pod's own, or a name to choose."""
        return filled(next(iter(self.diagnosis.secrets), self.place.secret), "pull secret")

    @property
    def acr(self) -> str:
        """The registry's name as `az acr` wants it: `myreg` of `myreg.azurecr.io`."""
        host = self.host or ""
        name = host.partition(".azurecr.")[0] if ".azurecr." in host else None
        return filled(name, "registry name")

    @property
    def cluster(self) -> str:
        return filled(self.place.cluster or self._aks(2) or self._ibm(2), "cluster")

    @property
    def resource_group(self) -> str:
        return filled(self.place.resource_group or self._aks(1), "resource group")

    @property
    def node_group(self) -> str:
        """Azure's resource group of the nodes (`MC_…`)."""
        return filled(self._azure(2), "node resource group")

    @property
    def scale_set(self) -> str:
        return filled(self._azure(3), "scale set")

    @property
    def account(self) -> str:
        found = _ECR.match(self.host or "")
        return filled(found[1] if found else None, "account id")

    @property
    def region(self) -> str:
        """AWS's region: the registry's own, failing that the node's."""
        found = _ECR.match(self.host or "")
        near = _AWS.match(self.place.provider_id or "")
        return filled(found[2] if found else near[1] if near else None, "region")

    @property
    def project(self) -> str:
        """Google's project: the first part of the path is the registry's project."""
        parts = self.reference.path.split("/") if self.reference and self._is_google else []
        near = _GCE.match(self.place.provider_id or "")
        return filled(parts[0] if len(parts) > 1 else near[1] if near else None, "project")

    @property
    def google_repository(self) -> str:
        parts = self.reference.path.split("/") if self.reference else []
        if _GAR.match(self.host or ""):
            return filled(parts[1] if len(parts) > 2 else None, "repository")  # noqa: PLR2004 - project/repository/image
        return filled(self.host if self._is_google else None, "repository")

    @property
    def location(self) -> str:
        found = _GAR.match(self.host or "")
        if found is not None:
            return filled(found[1], "location")
        by_host = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
        return filled(by_host.get(self.host or ""), "location")

    @property
    def _is_google(self) -> bool:
        host = self.host or ""
        return host.endswith(("gcr.io", "-docker.pkg.dev"))

    def _azure(self, group: int) -> str | None:
        found = _AZURE.match(self.place.provider_id or "")
        return found[group] if found else None

    def _aks(self, group: int) -> str | None:
        found = _AKS_GROUP.match(self._azure(2) or "")
        return found[group] if found else None

    def _ibm(self, group: int) -> str | None:
        found = _IBM.match(self.place.provider_id or "")
        return found[group] if found else None


def plain(value: str | None, placeholder: str) -> str:
    """`value` as it is, for the inside of a quoted word, where it holds nothing that a shell or JSON reads."""
    return value if value is not None and len(value) <= _MAX and _HARMLESS(value) else f"<{placeholder}>"


def filled(value: str | None, placeholder: str, *, prefix: str = "") -> str:
    """`value` quoted for a shell, or `<placeholder>` where it is not known or not fit to be shown."""
    if not value or len(value) > _MAX or value.startswith("-") or not all(map(is_visible, value)):
        return f"{prefix}<{placeholder}>"
    return shlex.quote(value)
