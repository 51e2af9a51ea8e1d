"""What holds for any registry: self-hosted ones, the network, the node, the image itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook.diagnosis.cause import Cause, Wrapper
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.names import filled, plain
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.diagnosis.remedies.names import Names

_CREDENTIAL: Final = (Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS, Cause.EXPIRED)


def credentials(cause: Cause, names: Names) -> Iterator[Remedy]:
    """For a registry that has no file of its own."""
    if cause in _CREDENTIAL:
        yield Remedy(
            "give the pod a pull secret whose key is this registry's domain, port included, in the pod's own namespace",
            (
                kubectl.create_secret(names, user="<user>", password="<password>"),  # noqa: S106
                kubectl.attach_secret(names),
                kubectl.restart(names),
            ),
        )
    if cause in (Cause.NOT_FOUND, Cause.AMBIGUOUS):
        yield Remedy("look which tags there are", (f"skopeo list-tags docker://{names.registry}/{names.path}",))


def secret_missing(names: Names) -> Iterator[Remedy]:
    undecodable = not names.diagnosis.secrets
    if undecodable and "retrieve" not in names.diagnosis.evidence:
        yield Remedy(
            "one pull secret of the pod can't be decoded, and the kubelet then uses none of them: make that one anew",
            (
                f"kubectl get pod {names.pod} -n {names.namespace} -o jsonpath='{{.spec.imagePullSecrets[*].name}}'",
                kubectl.create_secret(names, user="<user>", password="<password>"),  # noqa: S106
                kubectl.restart(names),
            ),
        )
        return
    source = filled(names.place.secret_in, "namespace that has it")
    yield Remedy(
        f"the pull secret {names.secret} is not in the namespace {names.namespace}: copy it there, or make it",
        (
            "kubectl get secrets -A --field-selector type=kubernetes.io/dockerconfigjson",
            kubectl.copy_secret(names, names.secret, source),
            kubectl.create_secret(names, user="<user>", password="<password>"),  # noqa: S106
            kubectl.restart(names),
        ),
    )


def invalid_name(names: Names) -> Iterator[Remedy]:
    if "short" in names.diagnosis.evidence.lower() and names.diagnosis.wrapper is Wrapper.CRIO:
        yield Remedy(
            "write the image with its registry: the runtime does not guess one among several",
            (kubectl.set_image(names, f"docker.io/{plain(names.diagnosis.image, 'image')}"),),
        )
        return
    yield Remedy(
        "write the image as registry/path:tag, in lower case, without https://",
        (f"pullproof inspect {names.image}", kubectl.set_image(names, "<image>")),
    )


def not_found(names: Names) -> Iterator[Remedy]:
    if "never" in names.diagnosis.evidence.lower():
        yield Remedy(
            "imagePullPolicy Never wants the image on the node already: load it there, or let the kubelet pull it",
            (
                (
                    f"kubectl patch {names.workload} -n {names.namespace} -p"
                    f' \'{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"{names.plain_container}",'
                    '"imagePullPolicy":"IfNotPresent"}]}}}}\''
                ),
            ),
        )
        return
    yield Remedy(
        "push the tag, or use one that is there",
        (f"skopeo inspect --raw docker://{names.full_image}", kubectl.set_image(names, "<image>")),
    )


def platform(names: Names) -> Iterator[Remedy]:
    wanted = names.diagnosis.platform
    yield Remedy(
        f"the image has nothing for {wanted or 'the node'}: look which platforms it has, and which the nodes are",
        (
            f"docker manifest inspect {names.full_image} | jq -r '.manifests[].platform'",
            "kubectl get nodes -L kubernetes.io/os,kubernetes.io/arch,node.kubernetes.io/windows-build",
        ),
    )
    yield Remedy(
        "send the pods to nodes that fit; name the operating system in every cluster that has both Windows and"
        " Linux nodes",
        (
            (
                f"kubectl patch {names.workload} -n {names.namespace} -p"
                ' \'{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/os":"<linux or windows>"}}}}}\''
            ),
        ),
    )
    yield Remedy(
        "or build the image for that platform too",
        (f"docker buildx build --platform linux/amd64,linux/arm64 --push --tag {names.full_image} .",),
    )


def dns(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the node can't resolve the registry's name: check how it is written, then the DNS servers of the node",
        (f"pullproof inspect {names.image}", kubectl.from_node(names, f"nslookup {names.registry}")),
    )


def unreachable(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "nothing answers the node on the registry's port: look for a firewall, a missing route or a proxy that the"
        " runtime"
        " was not told of (HTTPS_PROXY of containerd or CRI-O)",
        (
            kubectl.from_node(names, f"nc -vz -w 5 {_host_and_port(names)}"),
            kubectl.from_node(names, "chroot /host systemctl show containerd crio --property=Environment"),
        ),
    )


def refused(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the registry's host is there and refuses or cuts the connection: check that the registry runs, its port,"
        " and what"
        " stands between",
        (
            kubectl.from_node(names, f"nc -vz -w 5 {_host_and_port(names)}"),
            f"curl -sv https://{names.registry}/v2/ -o /dev/null",
        ),
    )


def tls(names: Names) -> Iterator[Remedy]:
    evidence = names.diagnosis.evidence.lower()
    registry = names.plain_registry
    if "http response" in evidence or "does not look like" in evidence or "malformed http" in evidence:
        yield Remedy(
            "the registry speaks plain HTTP: give it a certificate, or tell each node's runtime to use HTTP",
            (
                f"mkdir -p /etc/containerd/certs.d/{registry}",
                f"printf 'server = \"http://{registry}\"\\n' > /etc/containerd/certs.d/{registry}/hosts.toml",
                (
                    f"printf '[[registry]]\\nlocation = \"{registry}\"\\ninsecure = true\\n'"
                    " > /etc/containers/registries.conf.d/insecure.conf && systemctl restart crio"
                ),
            ),
        )
        return
    if "expired" in evidence:
        yield Remedy("renew the registry's certificate, and compare the node's clock", (_show_certificate(names),))
        return
    if "valid for" in evidence or "not valid for any names" in evidence or "common name" in evidence:
        yield Remedy(
            "the certificate is for another name: use a name it holds, or have it made for this one",
            (_show_certificate(names),),
        )
        return
    yield Remedy(
        "the node does not trust who signed the registry's certificate: put that authority's certificate on every node",
        (
            _show_certificate(names),
            f"install -D ca.crt /etc/containerd/certs.d/{registry}/ca.crt",
            (
                f'printf \'server = "https://{registry}"\\nca = "/etc/containerd/certs.d/{registry}/ca.crt"\\n\''
                f" > /etc/containerd/certs.d/{registry}/hosts.toml"
            ),
            f"install -D ca.crt /etc/containers/certs.d/{registry}/ca.crt",
        ),
    )
    if names.place.openshift:
        yield Remedy(
            "on OpenShift: give the authority to the cluster, which brings it to the nodes",
            (
                f"oc create configmap registry-ca -n openshift-config --from-file={registry.replace(':', '..')}=ca.crt",
                (
                    "oc patch image.config.openshift.io/cluster --type merge"
                    ' -p \'{"spec":{"additionalTrustedCA":{"name":"registry-ca"}}}\''
                ),
            ),
        )


def limits(cause: Cause, names: Names) -> Iterator[Remedy]:
    if cause is Cause.RATE_LIMIT:
        if "qps" in names.diagnosis.evidence.lower():
            yield Remedy(
                "the kubelet itself held the pull back: it goes on by itself; raise registryPullQPS and"
                " registryBurst in"
                " the nodes' kubelet configuration if this is frequent",
                (f"kubectl get --raw /api/v1/nodes/{names.node}/proxy/configz | jq '.kubeletconfig.registryPullQPS'",),
            )
            return
        yield Remedy(
            "the registry limits how often it is asked: the kubelet tries again by itself; pull with a credential, keep"
            " tags fixed with imagePullPolicy IfNotPresent, or put a mirror between",
            (kubectl.create_secret(names, user="<user>", password="<password>"), kubectl.attach_secret(names)),  # noqa: S106
        )
    else:
        yield Remedy("the registry's quota is used up: free some, wait for the new month, or raise it with its owner")


def registry_error(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the registry, or a proxy before it, failed: the kubelet tries again by itself; look at the registry's"
        " status page"
        " or logs",
        (f"curl -sv https://{names.registry}/v2/ -o /dev/null",),
    )


def unsupported_media(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the registry serves something that the runtime takes for no image: an artifact (a Helm chart), a proxy's HTML"
        " page, or Docker's schema 1, which containerd 2.1 and Docker 27 no longer read; build or copy it anew",
        (
            f"skopeo inspect --raw docker://{names.full_image} | jq '{{schemaVersion, mediaType}}'",
            f"skopeo copy --format v2s2 docker://{names.full_image} docker://<new image>",
        ),
    )


def disk(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "the node's disk is full: free it, or give nodes a larger one",
        (
            f"kubectl describe node {names.node} | grep -A8 Conditions:",
            kubectl.from_node(names, "chroot /host df -h /var/lib/containerd /var/lib/containers /var/lib/kubelet"),
            kubectl.from_node(names, "chroot /host crictl rmi --prune"),
            f"kubectl drain {names.node} --ignore-daemonsets --delete-emptydir-data",
        ),
    )


def unpack(names: Names) -> Iterator[Remedy]:
    yield Remedy(
        "a layer did not arrive as it was pushed, or the node can't write it: remove what is left of it and pull"
        " again, and"
        " push the image anew if every node fails (a Linux image on a Windows node fails here too)",
        (
            kubectl.from_node(names, f"chroot /host crictl rmi {names.full_image}"),
            kubectl.restart(names),
            f"skopeo copy docker://{names.full_image} dir:/tmp/image",
        ),
    )


def _host_and_port(names: Names) -> str:
    host, colon, port = names.plain_registry.rpartition(":")
    return f"{host} {port}" if colon and port.isdigit() else f"{names.plain_registry} 443"


def _show_certificate(names: Names) -> str:
    host, _, port = _host_and_port(names).rpartition(" ")
    return (
        f"openssl s_client -connect {host}:{port} -servername {host} -showcerts </dev/null"
        " | openssl x509 -noout -issuer -dates -ext subjectAltName"
    )
