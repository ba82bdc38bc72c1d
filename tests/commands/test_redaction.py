"""Secrets in texts that others can read."""

import base64

import pytest

from starlake_dagster_assets.commands.redaction import contains_secret, redact, secrets_of
from tests.graph.conftest import project


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://bob:other$3cret@h:5432/db is down", "postgresql://bob:***@h:5432/db is down"),
        (
            "jdbc:postgresql://h/db?user=u&password=other$3cret failed",
            "jdbc:postgresql://h/db?user=u&password=*** failed",
        ),
        ("known value: hunter2", "known value: ***"),
        ("a URL: user=sl;pw=p%40ss%2fw%C3%B6rd%21", "a URL: user=sl;pw=***"),
        ("another encoder: p@ss%2Fw%c3%b6rd!", "another encoder: ***"),
        ("twice: p%2540ss%252Fw%25C3%25B6rd!", "twice: ***"),
        ("JSON: p@ss/w\\u00f6rd!", "JSON: ***"),
        ('quoted: it\\"s&amp;secret it&quot;s&amp;secret', 'quoted: it\\"s&amp;secret ***'),
        (f"Authorization: Basic {b64('sl:hunter2')}", "Authorization: Basic ***"),
        (f"Authorization: Basic {b64('sla:hunter2')} x", "Authorization: Basic *** x"),
        (f"alone {b64('hunter2')}, in a key {b64('{pw: hunter2, user: sl}')}", "alone ***, in a key ***"),
        (f"binary {b64('p@ss/wörd!')}", "binary ***"),
        ("hex 68756e74657232", "hex ***"),
        ("log in with password: x1y2 and go on", "log in with password: *** and go on"),
        ('{"passwd": "x1y2", "user": "me"}', '{"passwd": "***", "user": "me"}'),
        ("api_key: 'x1y2'", "api_key: '***'"),
        ("+ curl -s -u me:x1y2 https://x/y", "+ curl -s -u me:*** https://x/y"),
        ("+ curl --user 'me:x1y2' https://x/y", "+ curl --user 'me:***' https://x/y"),
        ("pulling me:x1y2@registry.example.com/starlake:1.6.0", "pulling me:***@registry.example.com/starlake:1.6.0"),
        ("pulled starlake:1.6.0@sha256:0a1b/c", "pulled starlake:1.6.0@sha256:0a1b/c"),
        ("mailto:me@example.com/x", "mailto:me@example.com/x"),
        ("unexpected token: x; password of me: wrong; keys: a", "unexpected token: x; password of me: wrong; keys: a"),
        ("a hunter and aHVu are no secrets", "a hunter and aHVu are no secrets"),
        ("https://h/path?day=1 at 12:30 of user@host", "https://h/path?day=1 at 12:30 of user@host"),
    ],
)
def test_known_values_and_passwords_in_urls_are_hidden(text: str, shown: str):
    assert redact(text, frozenset({"hunter2", "p@ss/wörd!", 'it"s&secret'})) == shown


HOLD_A_SECRET = [
    "CREATE SECRET (TYPE S3, KEY_ID 'k', SECRET 'x1y2z3')",
    "    secret 'x1y2z3',",
    "create secret h (type http, bearer_token 'abcdefgh')",
    "'Authorization': 'Bearer abcdefgh'",
    r"{\'Authorization\': \'Bearer abcdefgh\'}",
    "curl -H Authorization:Bearer abcdefghijklmnop",
    "Bearer abcdefghijklmnop",
    "AccountName=a;AccountKey=abcdefg8;",
    "select 'AKIAIOSFODNN7EXAMPLE' as k",
    "select 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'",
    b64('{"type": "service_account", "project_id": "p"}'),
    "api_token:x1y2z3",
    "access-token:abcdefghijklmnop",
    "https://hooks.slack.com/services/T0/B0/abcdefgh",
    "-----BEGIN RSA PRIVATE KEY-----\\nMIIEabcdefgh\\n-----END RSA PRIVATE KEY-----",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "ya29.abcdefghijklmnopqrstuvwxyz",
]


@pytest.mark.parametrize("text", HOLD_A_SECRET)
def test_texts_that_hold_a_secret(text: str):
    assert contains_secret(text)


@pytest.mark.parametrize("text", HOLD_A_SECRET)
def test_texts_that_the_export_rejects_are_hidden_in_logs(text: str):
    """A line of a command that prints the text, and the text as the value of a variable of the project."""
    assert not contains_secret(redact(f"INFO x: {text}", frozenset()))
    model = project().model_copy(update={"variables": {"plain": text}})
    secrets = secrets_of(model)
    assert secrets, "its secret part is known, wherever it is printed"
    for secret in secrets:
        assert secret not in redact(f"error near {secret}", secrets)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("AccountName=a;AccountKey=abcdefg8+/Zz9==;x", "AccountName=a;AccountKey=***;x"),
        ("calling https://hooks.slack.com/services/T0/B0/abc now", "calling https://hooks.slack.com/services/*** now"),
        ("sent Bearer abcdefghijklmnopqrstuvwxyz to x", "sent Bearer *** to x"),
        ("(TYPE S3, SECRET 'x1y2z3')", "(TYPE S3, SECRET '***')"),
        ("key AKIAIOSFODNN7EXAMPLE of x", "key *** of x"),
    ],
)
def test_secrets_of_a_known_form_are_hidden_without_their_names(text: str, shown: str):
    assert redact(text, frozenset()) == shown


def test_the_lines_of_a_private_key_are_hidden_one_by_one():
    lines = ["-----BEGIN PRIVATE KEY-----", "MIIE" + "a" * 60, "b" * 60 + "==", "-----END PRIVATE KEY-----"]
    secrets = secrets_of(project().model_copy(update={"variables": {"key": "\n".join(lines)}}))
    assert [redact(f"> {line}", secrets) for line in lines[1:3]] == ["> ***", "> ***"]


@pytest.mark.parametrize(
    "text",
    [
        "select secret, token, 'x' as y from accounts where secret = 'none' and token in ('abcd', 'efgh')",
        "select case secret when 'x1y2z3' then 1 end",
        "CREATE SECRET (TYPE S3, PROVIDER credential_chain, SECRET '${S3_SECRET}')",
        "CREATE SECRET s (TYPE S3, SECRET getenv('S3_SECRET'))",
        "the secret 'recipe' of the bakery",
        "Authorization: Bearer ${TOKEN}",
        "'Authorization': 'Bearer ' || token",
        "Bearer authentication is used",
        "AccountName=a;AccountKey=${KEY};",
        "struct<api_token:string, access_token:varchar(255)>",
        "api_token: the token of the service",
        "a.b.c and eyJ, AKIA",
    ],
)
def test_texts_that_only_name_secrets(text: str):
    assert not contains_secret(text)
