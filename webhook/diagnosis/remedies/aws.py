"""Amazon ECR, private and public.

Source: Amazon ECR and EKS user guides ("Amazon ECR error messages", "Amazon EKS node
IAM role", "Amazon ECR interface VPC endpoints", "Amazon ECR Public service quotas"); aws 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook.diagnosis.cause import Cause
from webhook.diagnosis.remedies import kubectl
from webhook.diagnosis.remedies.remedy import Remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.diagnosis.remedies.names import Names

_PULL_POLICY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"


def remedies(cause: Cause, names: Names) -> Iterator[Remedy]:
    if names.host in ("public.ecr.aws", "ecr-public.aws.com"):
        yield from _public(cause, names)
        return
    region = names.region
    if cause in (Cause.UNAUTHORIZED, Cause.FORBIDDEN, Cause.AMBIGUOUS):
        if names.place.cloud in (None, "aws"):
            yield Remedy(
                "let the nodes pull: their role needs a policy for ECR, and for another account's registry its"
                " repository"
                " policy has to allow this one",
                (
                    (
                        f"aws eks describe-nodegroup --cluster-name {names.cluster} --nodegroup-name <node group>"
                        " --query nodegroup.nodeRole --output text"
                    ),
                    f"aws iam attach-role-policy --role-name <node role> --policy-arn {_PULL_POLICY}",
                    (
                        f"aws ecr get-repository-policy --registry-id {names.account} --region {region}"
                        f" --repository-name {names.path}"
                    ),
                ),
            )
        yield _token(names)
    if cause in (Cause.EXPIRED, Cause.SECRET_MISSING):
        yield _token(names)
    if cause in (Cause.NOT_FOUND, Cause.AMBIGUOUS):
        yield Remedy(
            "check that the repository and the tag are there, in this account and region",
            (
                (
                    f"aws ecr describe-images --registry-id {names.account} --region {region}"
                    f" --repository-name {names.path} --query 'imageDetails[].imageTags' --output text"
                ),
            ),
        )
    if cause in (Cause.TIMEOUT, Cause.DNS, Cause.REFUSED):
        yield Remedy(
            "nodes without a way to the internet need interface endpoints for ecr.api and ecr.dkr and a gateway"
            " endpoint"
            " for s3, with a security group that lets port 443 in",
            (
                (
                    f"aws ec2 describe-vpc-endpoints --region {region} --filters"
                    f" Name=service-name,Values=com.amazonaws.{region}.ecr.api,com.amazonaws.{region}.ecr.dkr,"
                    f"com.amazonaws.{region}.s3 --query 'VpcEndpoints[].[ServiceName,State]' --output table"
                ),
                kubectl.from_node(names, f"nc -vz -w 5 {names.registry} 443"),
            ),
        )


def _token(names: Names) -> Remedy:
    password = f'"$(aws ecr get-login-password --region {names.region})"'
    return Remedy(
        "outside EKS: an ECR token lives 12 hours, so a pull secret made from one has to be renewed that often (a"
        " CronJob,"
        " or the kubelet's ecr-credential-provider instead)",
        (
            kubectl.create_secret(names, user="AWS", password=password),
            kubectl.attach_secret(names),
            kubectl.restart(names),
        ),
    )


def _public(cause: Cause, names: Names) -> Iterator[Remedy]:
    password = '"$(aws ecr-public get-login-password --region us-east-1)"'  # noqa: S105 - a command that prints it
    if cause in (Cause.RATE_LIMIT, Cause.QUOTA):
        yield Remedy(
            "pulls without a credential are limited by the second and by the month: pull with a token (it lives 12"
            " hours),"
            " or keep a copy in your own registry",
            (kubectl.create_secret(names, user="AWS", password=password), kubectl.attach_secret(names)),
        )
    if cause in (Cause.FORBIDDEN, Cause.UNAUTHORIZED, Cause.EXPIRED, Cause.AMBIGUOUS):
        yield Remedy(
            "public images need no credential, but an expired one is refused: remove it or renew it",
            (
                kubectl.show_secret(names),
                kubectl.create_secret(names, user="AWS", password=password),
            ),
        )
