"""Generated pods' pull secrets, for the differential test: near the image in question, and broken in every known way.

Must not: decide what is right (the oracle does). It only remembers which e-mail address it gave to which entry, as
neither the oracle's answer nor ours says which key of a secret matched in words that the other would use.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from webhook.model.hostkey import shown

if TYPE_CHECKING:
    import random

HOSTS = [
    "docker.io",
    "docker.io",
    "us.icr.io",
    "de.icr.io",
    "myreg.azurecr.io",
    "myreg.azurecr.io:443",
    "quay.io",
    "gcr.io",
    "europe-docker.pkg.dev",
    "123456789012.dkr.ecr.us-east-1.amazonaws.com",
    "a.b.c.example.com",
    "registry-1.docker.io",
    "localhost",
    "localhost:5000",
    "10.0.0.1:5000",
    "[::1]:5000",
    "[2001:db8::1]",
    "[fd00::10]:443",
    "REG",
    "A",
    "Reg.Example.com",
    "a.1",
    "a:5",
]
PATHS = [
    "library/nginx",
    "pong",
    "pongz/x",
    "team/app",
    "team-b/app",
    "team",
    "a/b/c",
    "v1/app",
    "v2/app",
    "x.y_z/q",
    "a",
    "a/1",
]
ODD_REPOSITORIES = [
    "nginx",
    "",
    "/x",
    "index.docker.io/library/nginx",
    "a.1",
    "A",
    "a b/c",
    "%zz",
    "[::1]",
    "us.icr.io:x/y",
]
OTHER_KEYS = [
    "https://index.docker.io/v1/",
    "https://index.docker.io/v1/",
    "index.docker.io",
    "index.docker.io/v2/",
    "https://index.docker.io/v1",
    "http://index.docker.io",
    "docker.io",
    "docker.io/library",
    "*.docker.io",
    "*",
    "*.*",
    "*.io",
    "*.icr.io",
    "*.azurecr.io",
    "m*g.azurecr.io",
    "*m*r*.azurecr.*",
    "registry.ng.bluemix.net",
    "",
    "/",
    "https://",
    "[::1]",
    "[::A]",
    "[::1]:*",
    "[fe80::1%25eth0]",
    "[fe80::1%2525a-c]",
    "[::ffff:1.2.3.4]",
    "[1.2.3.4]",
    "[1::2::3]:5000",
    "[0:0:0:0:0:0:0:1]:5000",
    "auths",
]
SCHEMES = ["", "", "", "https://", "http://", "HTTPS://", "docker://", "oci://", "//", "https:", "https:/"]
TAILS = ["", "", "", "", "/", "//", "/v1/", "/v2/", "/v1", "/v2", "/v1/team", "/v2/v1/team", "/team", "/pon", ":latest"]
NOISE = [
    "%2F",
    "%3F",
    "%25",
    "%2525",
    "%zz",
    "%",
    "%C3%A9",
    "%e2%82",
    "é",
    "字",
    " ",
    "\t",
    "\n",
    "\x7f",
    "?x=1",
    "#f",
    "#%",
]
NOISE += [
    "@",
    "user:pw@",
    "u@",
    ":",
    ":80",
    "::",
    "[",
    "]",
    "*",
    "\\",
    "^",
    "-",
    ".",
    "..",
    "~",
    "`",
    "|",
    "\ufffd",
    "%00",
]
WILD = "a1.:/[]%@?#*-2F5 é"
AUTH_WILD = "QUJD+/-_=\r\n Zmé:"
USERNAMES = ["iamapikey", "AWS", "_json_key", "token", "org+robot", "myreg", "bob", "", " ", "a@b.example", "b\u00fcro"]
PASSWORDS = ["pw", "", "p:q", "pw\n", "\0", "p\u00e4ss", "eyJ.eyJleHAiOjE3MDAwMDAwMDB9.sig", "eyJleHBpcmF0aW9uIjo1fQ=="]
STRANGE = [
    "\\/",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\udc00x",
    "\\ud83d\\ud83d\\ude00",
    "\\u0000",
    "\udcff",
    "\udce2\udc82",
    "\udced\udca0\udc80",
]
NEWER, OLDER = "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"


@dataclass
class Case:
    repository: str
    secrets: list[dict[str, Any]] = field(default_factory=list)
    emails: dict[tuple[str, str], str] = field(default_factory=dict)  # secret and shown key → what marks the entry
    exact: bool = True  # False where bytes were changed after `emails` was written down

    @property
    def question(self) -> dict[str, Any]:
        secrets = [
            {"name": secret["metadata"]["name"], "type": secret["type"], "data": secret["data"]}
            for secret in self.secrets
        ]
        return {"repository": self.repository, "secrets": secrets}


class Raw(str):
    """JSON text that is already written."""

    __slots__ = ()


class Generator:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0

    def case(self) -> Case:
        rng = self.rng
        case = Case(f"{rng.choice(HOSTS)}/{rng.choice(PATHS)}" if rng.random() < 0.97 else rng.choice(ODD_REPOSITORIES))
        for number in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 6])):
            case.secrets.append(self._secret(case, f"s{number}"))
        if case.secrets and rng.random() < 0.03:
            case.secrets.append(rng.choice(case.secrets))  # nothing keeps a pod from listing one twice
        return case

    def _secret(self, case: Case, name: str) -> dict[str, Any]:
        rng = self.rng
        secret_type = rng.choice([NEWER, NEWER, NEWER, OLDER])
        hosts = self._hosts(case, name)
        root = hosts if secret_type == OLDER else self._newer(case, name, hosts)
        if rng.random() < 0.006:
            root = Raw(
                rng.choice(["null", "[]", "[{}]", "1", "true", '""', '"{}"', "{}", " {} ", "nul", "-", "1.5e+3"])
            )
        content = self._text(root).encode("utf-8", "surrogateescape")
        if rng.random() < 0.02:
            case.exact = False
            content = self._damaged(content)
        data_key = ".dockercfg" if secret_type == OLDER else ".dockerconfigjson"
        if rng.random() < 0.06:
            secret_type = rng.choice(
                ["Opaque", "", OLDER, NEWER, NEWER.upper(), NEWER + " ", "bootstrap.kubernetes.io/token"]
            )
        if rng.random() < 0.03:
            data_key = rng.choice([".dockercfg", ".dockerconfigjson", "config.json", data_key.upper()])
        data = {data_key: base64.b64encode(content).decode()}
        if rng.random() < 0.02:
            data[rng.choice([".dockercfg", ".dockerconfigjson"])] = rng.choice(["", "e30=", "eyJ4IjowfQ=="])
        if rng.random() < 0.01:
            data.clear()
        return {"metadata": {"name": name, "namespace": "default"}, "type": secret_type, "data": data}

    def _newer(self, case: Case, name: str, hosts: list[tuple[str, Any]] | Raw) -> list[tuple[str, Any]]:
        rng = self.rng
        root: list[tuple[str, Any]] = [(self._field("auths"), hosts)]
        if rng.random() < 0.04:
            root.append((self._field("auths"), self._hosts(case, name)))
        if rng.random() < 0.01:
            root.append((self._field("auths"), Raw(rng.choice(["null", "null", "[]", "1", '"x"', "true", "{}"]))))
        if rng.random() < 0.02:
            headers = [
                "null",
                "{}",
                '{"a":"b"}',
                '{"a":null}',
                '{"a":1}',
                '{"a":[]}',
                '{"a":{}}',
                '{"a":false}',
                "1",
                "[]",
            ]
            root.insert(rng.randrange(2), (self._field("HttpHeaders"), Raw(rng.choice(headers))))
        if rng.random() < 0.1:
            extra = rng.choice(
                [("credsStore", "desktop"), ("credHelpers", Raw('{"gcr.io":"x"}')), ("auth", "?"), ("", Raw("1"))]
            )
            root.append(extra)
        if rng.random() < 0.004:
            depth = rng.choice([500, 2000, 9_999, 10_000])
            root.append(("deep", Raw("[" * depth + "]" * depth)))
        return root

    def _hosts(self, case: Case, name: str) -> list[tuple[str, Any]] | Raw:
        rng = self.rng
        hosts: list[tuple[str, Any]] = []
        keys: list[str] = []
        for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 5, 9])):
            key = rng.choice(keys) if keys and rng.random() < 0.05 else self._key(case.repository)
            if any(shown(key) == shown(other) and key != other for other in keys):
                continue  # `emails` could not tell the two apart
            keys.append(key)
            entry, email = self._entry()
            hosts.append((key, entry))
            case.emails[name, shown(key)] = email
        return hosts

    def _key(self, repository: str) -> str:
        rng = self.rng
        if rng.random() < 0.25:
            return rng.choice(OTHER_KEYS)
        if rng.random() < 0.12:
            return "".join(rng.choice(WILD) for _ in range(rng.randrange(12)))
        host, _, path = repository.partition("/")
        if rng.random() < 0.25:
            host = rng.choice(HOSTS)
        labels = host.split(".")
        chance = rng.random()
        at = rng.randrange(len(labels))
        if chance < 0.2:
            labels[at] = rng.choice(["*", "*", "**", labels[at][:1] + "*", "*" + labels[at][-1:], "?"])
        elif chance < 0.24:
            labels.insert(at, "*")
        elif chance < 0.28 and len(labels) > 1:
            del labels[at]
        host = ".".join(labels)
        if rng.random() < 0.05:
            host = host.swapcase()
        if rng.random() < 0.08:
            host = (
                host.rpartition(":")[0]
                if ":" in host and "[" not in host
                else host + rng.choice([":", ":443", ":5000", ":x"])
            )
        tail = rng.choice(TAILS)
        if rng.random() < 0.3:
            tail = "/" + path[: rng.randrange(len(path) + 1)]
        key = rng.choice(SCHEMES) + host + tail
        if rng.random() < 0.1:
            at = rng.randrange(len(key) + 1)
            key = key[:at] + rng.choice(NOISE) + key[at:]
        return key

    def _entry(self) -> tuple[Any, str]:
        rng = self.rng
        chance = rng.random()
        if chance < 0.03:
            return Raw("{}"), ""
        if chance < 0.05:
            return Raw("null"), ""
        if chance < 0.051:
            return Raw(rng.choice(['""', '"x"', "1", "[]", "true", "-0.5e-7"])), ""
        self.count += 1
        email = f"e{self.count}@example.com"
        fields: list[tuple[str, Any]] = [(self._field("email"), email)]
        username, password = rng.choice(USERNAMES), rng.choice(PASSWORDS)
        if rng.random() < 0.5:
            fields.append((self._field("username"), username))
        if rng.random() < 0.5:
            fields.append((self._field("password"), password))
        if rng.random() < 0.7:
            fields.append((self._field("auth"), self._auth(username, password)))
        if rng.random() < 0.02:
            fields.append((self._field("auth"), self._auth(username, "other")))
        if rng.random() < 0.015:
            wrong = ["null", "null", "null", "1", "[]", "{}", "true", "[[{}]]"]
            names = ["username", "password", "auth"]
            fields.extend(
                (self._field(rng.choice(names)), Raw(rng.choice(wrong))) for _ in range(rng.choice([1, 1, 2]))
            )
        if rng.random() < 0.1:
            unread = ("identitytoken", "registrytoken", "serveraddress", "provider", "x")
            fields.append((rng.choice(unread), rng.choice(["t", "", Raw("1"), Raw("null"), Raw("[null]")])))
        if rng.random() < 0.02:
            fields = [(name, value if value == email else self._strange(value)) for name, value in fields]
        rng.shuffle(fields)
        return fields, email

    def _strange(self, value: str) -> str:
        """The string with something in it that only a decoder's own rules make a character."""
        text = json.dumps(value)
        if isinstance(value, Raw) or "\\" in text:  # an escape cut in two is `_damaged`'s matter
            return value
        at = self.rng.randrange(1, len(text))
        return Raw(text[:at] + self.rng.choice(STRANGE) + text[at:])

    def _auth(self, username: str, password: str) -> str:
        rng = self.rng
        chance = rng.random()
        plain = f"{username}:{password}"
        if chance < 0.002:
            plain = username  # no colon
        encoded = base64.b64encode(plain.encode()).decode()
        if chance > 0.7:
            encoded = encoded.rstrip("=")
        if rng.random() < 0.008:
            at = rng.choice([rng.randrange(len(encoded) + 1), len(encoded)])
            noise = rng.choice(["\n", "\r\n", "\n", " ", "=", "-", "é", "\u00a0", "\u2003", "\x1c", "A", "\ufffd"])
            encoded = encoded[:at] + noise + encoded[at:]
        if rng.random() < 0.002:
            encoded = "".join(rng.choice(AUTH_WILD) for _ in range(rng.randrange(14)))
        return encoded

    def _field(self, name: str) -> str:
        rng = self.rng
        if rng.random() < 0.9:
            return name
        folded = "".join(rng.choice([letter, letter.upper()]) for letter in name)
        return folded.replace("s", rng.choice(["s", "\u017f"]))

    def _text(self, value: Any) -> str:
        rng = self.rng
        if isinstance(value, Raw):
            return value
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=rng.random() < 0.5)
        space = rng.choice(["", "", " ", "\n\t", "\r"])
        members = f",{space}".join(f"{self._text(name)}{space}:{space}{self._text(inner)}" for name, inner in value)
        return f"{space}{{{space}{members}{space}}}"

    def _damaged(self, content: bytes) -> bytes:
        rng = self.rng
        at = rng.randrange(len(content) + 1)
        noise = [b",", b"}", b"{", b"]", b'"', b":", b"\\", b"\\u00", b"\xef\xbb\xbf", b"\xff", b"NaN", b"Infinity"]
        noise += [
            b"01",
            b"1.",
            b".5",
            b"+1",
            b"\x00",
            b"\n",
            b"\x1f",
            b"'",
            b"/*x*/",
            b"//x\n",
            b"null",
            b"\xa0",
            b"\\x41",
            b"1e",
        ]
        match rng.randrange(5):
            case 0:
                return content[:at]
            case 1:
                return content[:at] + content[at + 1 :]
            case 2:
                return rng.choice(noise) + content
            case 3:
                return content + rng.choice([*noise, b" ", b"\n\n", b"{}"])
        return content[:at] + rng.choice(noise) + content[at:]
