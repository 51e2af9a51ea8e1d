"""Descriptions as kubectl 1.36 prints them, and as older ones did."""

# ruff: noqa: E501 - what kubectl prints is as long as it is
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.describe import is_description, read_describe
from webhook.diagnosis.pods import diagnosed
from webhook.model.text import is_visible

HEAD = """\
Name:             {name}
Namespace:        shop
Priority:         0
Service Account:  default
Node:             aks-pool-1-vmss000000/10.35.104.6
Start Time:       Mon, 06 May 2024 10:00:00 +0000
Labels:           app=web
Annotations:      example.com/note: Failed to pull image "no": not found
Status:           Pending
IP:               10.1.0.42
Containers:
"""
WAITING = """\
  {name}:
    Container ID:
    Image:          {image}
    Image ID:
    Port:           80/TCP
    State:          Waiting
      Reason:       {reason}
    Ready:          False
    Environment:    <none>
    Mounts:
      /var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-bjp84 (ro)
"""
RUNNING = """\
  sidecar:
    Container ID:   containerd://abc
    Image:          busybox
    State:          Running
      Started:      Mon, 06 May 2024 10:00:00 +0000
    Last State:     Terminated
      Reason:       ErrImagePull
      Message:      manifest unknown
    Ready:          True
"""
TAIL = """\
Conditions:
  Type              Status
  Initialized       True
Volumes:
  kube-api-access-bjp84:
    Type:                    Projected (a volume that contains injected data from multiple sources)
Events:
  Type     Reason     Age                  From               Message
  ----     ------     ----                 ----               -------
  Normal   Scheduled  28m                  default-scheduler  Successfully assigned shop/web-1 to aks-pool-1-vmss000000
"""
BACK_OFF = '  Normal   BackOff    2m40s (x9 over 28m)  kubelet            Back-off pulling image "{image}"\n'
BARE = "  Warning  Failed     2m41s                kubelet            Error: ErrImagePull\n"
FAILED = '  Warning  Failed     2m41s (x3 over 28m)  kubelet            Failed to pull image "{image}": {why}\n'
SECRET = (
    "  Warning  FailedToRetrieveImagePullSecret  1s (x9 over 2m)  kubelet  Unable to retrieve some image pull secrets (regcred);"
    " attempting to pull the image may not succeed.\n"
)
REFUSED = (
    'failed to pull and unpack image "reg.example.com/web:1": failed to resolve reference "reg.example.com/web:1": failed to'
    " authorize: failed to fetch anonymous token: unexpected status from GET request to https://reg.example.com/token: 401"
    " Unauthorized"
)
IMAGE = "reg.example.com/web:1"


def describe(*containers: str, events: str = "", name: str = "web-1") -> str:
    return HEAD.format(name=name) + "".join(containers) + TAIL + events


WEB = WAITING.format(name="web", image=IMAGE, reason="ImagePullBackOff")


def test_behind_a_bare_back_off_the_first_real_error_is_found():
    events = BACK_OFF.format(image=IMAGE) + BARE + FAILED.format(image=IMAGE, why=REFUSED)
    (read,) = read_describe(describe(WEB, RUNNING, events=events))
    assert read.cause is Cause.UNAUTHORIZED
    assert (read.pod, read.namespace, read.node) == ("web-1", "shop", "aks-pool-1-vmss000000")
    assert (read.container, read.image, read.registry) == ("web", IMAGE, "reg.example.com")
    assert read.evidence.endswith("401 Unauthorized")


def test_nothing_but_a_back_off_is_other_and_still_says_which_image():
    (read,) = read_describe(describe(WEB, events=BACK_OFF.format(image=IMAGE)))
    assert (read.cause, read.image, read.registry) == (Cause.OTHER, IMAGE, "reg.example.com")


def test_the_message_of_the_state_is_preferred():
    waiting = WAITING.format(name="web", image=IMAGE, reason=f"ErrImagePull\n      Message:      {REFUSED}")
    events = FAILED.format(image=IMAGE, why=f"{IMAGE}: not found")
    (read,) = read_describe(describe(waiting, events=events))
    assert read.cause is Cause.UNAUTHORIZED


def test_a_pull_secret_that_is_not_there_is_the_cause_of_the_refusal():
    events = FAILED.format(image=IMAGE, why=REFUSED) + SECRET
    (read,) = read_describe(describe(WEB, events=events))
    assert read.cause is Cause.SECRET_MISSING
    assert read.secrets == ("regcred",)
    assert read.evidence.endswith("401 Unauthorized")


def test_a_pull_secret_that_is_not_there_is_not_the_cause_of_everything():
    events = FAILED.format(image=IMAGE, why=f"{IMAGE}: not found") + SECRET
    (read,) = read_describe(describe(WEB, events=events))
    assert read.cause is Cause.NOT_FOUND
    assert read.secrets == ("regcred",)


def test_stuck_creating_without_its_pull_secret():
    creating = WAITING.format(name="web", image=IMAGE, reason="ContainerCreating")
    (read,) = read_describe(describe(creating, events=SECRET))
    assert (read.cause, read.secrets, read.pod) == (Cause.SECRET_MISSING, ("regcred",), "web-1")


def test_each_container_gets_its_own_image_s_error():
    other = WAITING.format(name="job", image="reg.example.com/job:2", reason="ErrImagePull")
    events = FAILED.format(image="reg.example.com/job:2", why="reg.example.com/job:2: not found") + FAILED.format(
        image=IMAGE, why=REFUSED
    )
    read = read_describe(describe(WEB, other, events=events))
    assert [(d.container, d.cause) for d in read] == [("web", Cause.UNAUTHORIZED), ("job", Cause.NOT_FOUND)]


@pytest.mark.parametrize(
    ("controller", "labels", "workload"),
    [
        ("ReplicaSet/web-7d4b9c", "app=web\n                  pod-template-hash=7d4b9c", "deployment/web"),
        ("ReplicaSet/web-7d4b9c", "pod-template-hash=7d4b9c", "deployment/web"),
        ("ReplicaSet/web-7d4b9c", "app=web", None),  # whose it is does not show
        ("StatefulSet/db", "app=db", "statefulset/db"),
        ("DaemonSet/agent", "app=agent", "daemonset/agent"),
        ("Job/once", "app=once", None),  # a Job's template can't be changed
    ],
)
def test_the_workload_is_read_from_what_controls_the_pod(controller, labels, workload):
    head = HEAD.replace("app=web", labels).replace("Containers:", f"Controlled By:  {controller}\nContainers:")
    text = head.format(name="web-1") + WAITING.format(name="web", image="a/b:1", reason="ErrImagePull") + TAIL
    (found,) = read_describe(text)
    assert found.workload == workload


def test_the_workload_gets_into_the_commands():
    text = Path(__file__).parents[2].joinpath("samples/waiting-pod.txt").read_text(encoding="utf-8")
    (found,) = read_describe(text)
    commands = [command for remedy in diagnosed(found).remedies for command in remedy.commands]
    assert commands == ["kubectl set image deployment/web app=contoso.azurecr.io/shop:1 -n shop"]


@pytest.mark.parametrize("width", [80, 100, 132])
@pytest.mark.parametrize("copied", [str, str.rstrip])
def test_lines_that_a_terminal_broke_are_put_together(width, copied):
    text = describe(
        WEB, events=SECRET + FAILED.format(image=IMAGE, why=REFUSED) + BACK_OFF.format(image=IMAGE) + "$ \n"
    )
    broken = [line[at : at + width] for line in text.splitlines() for at in range(0, max(len(line), 1), width)]
    assert read_describe("\n".join(map(copied, broken))) == read_describe(text)


def commands_of(found):
    return [command for remedy in diagnosed(found).remedies for command in remedy.commands]


def test_the_service_account_gets_into_the_commands():
    head = HEAD.replace("Account:  default", "Account:  builder").replace(
        "Containers:", "Controlled By:  Job/a\nContainers:"
    )
    (found,) = read_describe(head.format(name="web-1") + WEB + TAIL + FAILED.format(image=IMAGE, why=REFUSED))
    assert any(one.startswith("kubectl patch serviceaccount builder -n shop ") for one in commands_of(found))
    assert "kubectl delete pod web-1 -n shop" in commands_of(found)


def test_a_pod_that_nothing_makes_again_is_not_told_to_be_deleted():
    (found,) = read_describe(describe(WEB, events=FAILED.format(image=IMAGE, why=REFUSED)))
    commands = commands_of(found)
    assert "kubectl get pod web-1 -n shop -o yaml | kubectl replace --force -n shop -f -" in commands
    assert not any("kubectl delete pod" in one for one in commands)


def test_the_image_of_a_pod_that_nothing_makes_again_is_set_in_place():
    image = "contoso.azureacr.io/shop:1"
    waiting = WAITING.format(name="web", image=image, reason="ErrImagePull")
    (found,) = read_describe(describe(waiting, events=FAILED.format(image=image, why="no such host")))
    assert commands_of(found) == ["kubectl set image pod/web-1 web=contoso.azurecr.io/shop:1 -n shop"]
    (found,) = read_describe(describe(WEB, events=FAILED.format(image=IMAGE, why=f"{IMAGE}: not found")))
    assert "kubectl set image pod/web-1 web=<image> -n shop" in commands_of(found)


def test_several_pods():
    text = (
        describe(WEB, events=FAILED.format(image=IMAGE, why=REFUSED))
        + "\n\n"
        + describe(WAITING.format(name="web", image="A/b", reason="InvalidImageName"), name="web-2")
    )
    assert [(d.pod, d.cause) for d in read_describe(text)] == [
        ("web-1", Cause.UNAUTHORIZED),
        ("web-2", Cause.INVALID_NAME),
    ]


def test_a_keyring_error_for_a_reason():
    waiting = WAITING.format(name="web", image=IMAGE, reason="illegal base64 data at input byte 0")
    (read,) = read_describe(describe(waiting))
    assert (read.cause, read.container) == (Cause.SECRET_MISSING, "web")


def test_a_pod_that_the_node_would_not_admit():
    text = HEAD.format(name="web-1").replace(
        "IP:               10.1.0.42",
        "Reason:           PodOSNotSupported\nMessage:          Pod was rejected: Failed to admit pod as the OS field doesn't match node OS",
    ) + WAITING.format(name="web", image=IMAGE, reason="ContainerCreating")
    (read,) = read_describe(text)
    assert read.cause is Cause.PLATFORM


def test_only_the_events():
    text = "Events:\n" + FAILED.format(image=IMAGE, why=REFUSED)
    (read,) = read_describe(text)
    assert (read.cause, read.image, read.pod) == (Cause.UNAUTHORIZED, IMAGE, None)


def test_a_message_over_several_lines():
    text = "Events:\n" + FAILED.format(
        image=IMAGE,
        why="errors:\n  denied: requested access to the resource is denied\n  unauthorized: authentication required",
    )
    (read,) = read_describe(text)
    assert read.cause is Cause.AMBIGUOUS


def test_the_events_of_an_old_kubectl():
    text = (
        "Name:\t\tweb-1\nNamespace:\tdefault\nNode:\t\tminikube/10.0.2.15\nEvents:\n"
        "  FirstSeen\tLastSeen\tCount\tFrom\t\t\tSubObjectPath\t\tType\t\tReason\t\tMessage\n"
        '  16m\t\t17s\t\t6\t{kubelet node-1}\tspec.containers{nginx}\tWarning\t\tFailed\t\tFailed to pull image "nginx:bad":'
        " rpc error: code = 2 desc = Tag bad not found in repository docker.io/library/nginx\n"
    )
    (read,) = read_describe(text)
    assert (read.cause, read.image, read.node) == (Cause.NOT_FOUND, "nginx:bad", "minikube")


def test_a_pod_that_runs_says_nothing_any_more():
    events = FAILED.format(image="busybox", why="busybox: not found")
    assert read_describe(describe(RUNNING, events=events)) == []


@pytest.mark.parametrize("text", ["", "\n", "Name:", "hello", "Containers:\n  web:\n    State: Running\n"])
def test_what_says_nothing(text):
    assert read_describe(text) == []


def test_what_a_description_looks_like():
    assert is_description(describe(WEB))
    assert not is_description('Failed to pull image "a": not found\nName of the image is wrong')


_lines = st.lists(
    st.one_of(
        st.sampled_from([*describe(WEB, RUNNING, events=FAILED.format(image=IMAGE, why=REFUSED) + SECRET).splitlines(), "Name: \x1b[0m", "Node: \u202e/x", "    Image: \x00"]),
        st.text(),
    )
).map("\n".join)  # fmt: skip


@given(_lines)
def test_any_text_is_read(text):
    for read in read_describe(text):
        for value in (read.evidence, read.image, read.registry, read.pod, read.namespace, read.node, read.container):
            assert value is None or all(map(is_visible, value))
    is_description(text)


@pytest.mark.parametrize(
    "piece",
    [
        "Name: x\n",
        "  a:\n",
        "Events:\n",
        '  Warning  Failed  1s  kubelet  Failed to pull image "x": not found\n',
        "a",
        "    Image: x\n",
    ],
)
def test_megabytes_are_read(piece):
    assert len(read_describe("Name: x\nContainers:\n  a:\n" + piece * (2_000_000 // len(piece)))) <= 500
