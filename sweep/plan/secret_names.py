"""Which names are those of secrets, and which parts of a text are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from cluster.secrets import MARK


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CERTAIN = _words("""
    secret secrets password passwords passwd passphrase passcode pwd credential credentials apikey apikeys
    accesskey  authkey masterkey privatekey privkey secretkey sshkey signature sig jwt cookie authorization
""")
"""Words that make a name a secret's, in any place but before one of _ABOUT."""
_ENDS = ("password", "passwd", "secret", "apikey", "passphrase", "accesstoken", "authtoken")
"""What a word of a certain secret ends in, where words are run together: PGPASSWORD."""
_ABOUT = _words("""
    path file dir folder type mode name names length len size count num url uri endpoint host port method
    backend  timeout ttl expiry version enabled format field column policy provider map ratio usage limit
    threshold tier  buckets distribution regex pattern location algorithm manager header
""")
"""A name that ends so tells something about a secret, or where it is."""
_AFTER = _words("""
    id value string data raw base64 b64 hex current old new
""")
"""What may follow a word such as `token` without making it another thing: AWS_ACCESS_KEY_ID, HF_TOKEN_2."""
_NOT_A_KEY = _words("""
    cache kv sort routing partition shard primary foreign group hash index lookup query public dedup
    idempotency  metric label priority attention rope order join row column
""")
_NOT_A_TOKEN = _words("""
    bos eos pad unk sep cls mask stop start end begin special image img video audio speech think thinking
    reasoning  tool call next first last per draft verify prompt completion output input generated each one
    single by every boi  eoi eot eom extra added control separator newline max min num avg mean total n top
    accept accepted bonus prefill  decode cached implicit
""")
_NOT_A_PASS = _words("""
    forward backward first second third single one two multi by per last next
""")
_COMMON = {
    "key": _NOT_A_KEY,
    "token": _NOT_A_TOKEN,
    "pass": _NOT_A_PASS,
    "auth": frozenset[str](),
    "pat": frozenset[str](),
}
"""Words of many meanings that end a secret's name, and what before them gives them another one."""
_PLURAL = {"keys": "key", "tokens": "token"}
_OF_SECRETS = _words("""
    api auth access secret private hf hub admin bearer refresh
""")
"""What makes several keys or tokens secrets; without it they are rather counted, or sorted by."""
_SWITCHES = _words("""
    0 1 true false yes no on off none null auto default enabled disabled
""")
"""Values that keep no secret, whatever they are called."""


class Name(NamedTuple):
    """What a name says of its value."""

    secret: bool
    """It is one, if it is a text."""
    certain: bool
    """It is one, though it be a number."""


@lru_cache(maxsize=4096)
def judge(name: str) -> Name:
    """Whether the value under this name is a secret: of a variable of the environment, or of an argument."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and (words[-1].isdigit() or words[-1] in _AFTER):
        del words[-1]
    if not words or words[-1] in _ABOUT:
        return Name(secret=False, certain=False)
    if any(word in _CERTAIN or word.endswith(_ENDS) for word in words):
        return Name(secret=True, certain=True)
    *before, last = words
    nearest = before[-1] if before else ""
    if last in _PLURAL:
        return Name(secret=nearest in _OF_SECRETS, certain=False)
    if last.endswith("token") and last not in ("token", "detoken", "subtoken", "pretoken"):
        return Name(secret=True, certain=False)
    return Name(secret=last in _COMMON and nearest not in _COMMON[last], certain=False)


def is_secret(name: str, value: Any) -> bool:
    """Whether this value, which is no list and no mapping, is a secret by the name that it has."""
    kind = judge(name)
    match value:
        case bool() | None:
            return False
        case str():
            text = value.strip()
            plain = text.lower() in _SWITCHES or not MARK.sub("", text).strip()
            return kind.secret and not plain
    return kind.certain


class Part(NamedTuple):
    """A part of a text that is a secret."""

    begin: int
    end: int
    name: str
    """What to call it."""


_SCHEME = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*):/{1,2}")
_END = re.compile(r"[\s?#]")
"""What ends the part of a URI in which a user and a password may be."""
_PAIR = re.compile(r"""(?<![\w.-])(?<!//)(?P<name>[A-Za-z_][\w.-]*)["']?\s?[=:]\s*["']?""")
_VALUE = re.compile(r"""(?!\(secret\s)[^\s"'&;,]+""")
"""What may follow a _PAIR."""
_OPTION = re.compile(r"(?<!\S)--(?P<name>[A-Za-z][\w-]*)\s+(?P<value>(?!\(secret\s)[^\s-]\S*)")
_BEARER = re.compile(r"(?i)\b(?P<name>bearer|basic)\s+(?P<value>[\w.~+/=-]{6,})")
_SHAPE = re.compile(
    r"(?<![\w-])(?P<value>hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|AKIA[0-9A-Z]{16}"
    r"|xox[abprs]-[\w-]{10,}|glpat-[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{5,})"
)
"""Tokens of Hugging Face, OpenAI, GitHub, AWS, Slack and GitLab, and JSON web tokens, by what they begin with."""


def parts(text: str) -> Iterator[Part]:
    """The secrets in a text that has more in it: passwords and tokens in URIs, `api_key=...`, `--hf-token ...`, an
    Authorization header, and tokens that are known by their form. In their order; none overlaps another."""
    last = Part(0, 0, "")
    for part in sorted(part for part in _parts(text) if MARK.sub("", text[part.begin : part.end])):
        if part.begin < last.end:
            last = last._replace(end=max(last.end, part.end))
            continue
        if last.name:
            yield last
        last = part
    if last.name:
        yield last


def _parts(text: str) -> Iterator[Part]:
    yield from _users(text)
    yield from _pairs(text)
    for found in _OPTION.finditer(text):
        if is_secret(found["name"], found["value"]):
            yield Part(*found.span("value"), found["name"])
    for found in _BEARER.finditer(text):
        yield Part(*found.span("value"), found["name"].lower())
    for found in _SHAPE.finditer(text):
        yield Part(*found.span("value"), "token")


def _pairs(text: str) -> Iterator[Part]:
    end = 0
    for found in _PAIR.finditer(text):
        name = found["name"].rpartition(".")[2]
        # Names inside a value that is a secret already say nothing more.
        if found.end() < end or not judge(name).secret:
            continue
        value = _VALUE.match(text, found.end())
        if value and is_secret(name, value[0]):
            end = value.end()
            yield Part(value.start(), end, name)


def _users(text: str) -> Iterator[Part]:
    """The passwords of URIs, and the user of one of HTTP that has no password, since that is a token."""
    end = last = over = 0
    for found in _SCHEME.finditer(text):
        begin = found.end()
        if begin >= end:
            ended = _END.search(text, begin)
            end = ended.start() if ended else len(text)
            last = text.rfind("@", begin, end)
        slash = text.find("/", begin, end)
        host = text[begin : end if slash < 0 else slash]
        # A password may have a slash in it; a port is no password.
        unclear = ":" in host and not host.partition(":")[2].isdigit()
        at = begin + host.rfind("@") if "@" in host else last if unclear else -1
        if at <= begin or begin < over:
            continue
        over = at
        colon = text.find(":", begin, at)
        if colon >= 0:
            yield Part(colon + 1, at, "password")
        elif found[1].lower().removeprefix("git+") in ("http", "https"):
            yield Part(begin, at, "user")
