from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from gateway.config import DEMO_DEFAULTS, load, variables
from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.settings_values import Secret, SmtpUrl, StoreUrl

RUN = {
    "WINBACK_KAFKA__BOOTSTRAP_SERVERS": "kafka-0:9092, kafka-1:9092",
    "WINBACK_HTTP__PUBLIC_URL": "https://go.shop.example",
    "WINBACK_TRACKING__SECRETS": "signing-secret-of-today,signing-secret-of-yesterday",
    "WINBACK_API__KEYS": "key-of-campaigns,key-of-support",
    "WINBACK_BRAND__NAME": "Shop",
    "WINBACK_BRAND__SITE_URL": "https://shop.example/da",
    "WINBACK_BRAND__POSTAL_ADDRESS": "Shop\n1 Street\nCopenhagen",
}
SENDGRID = {
    "WINBACK_EMAIL__PROVIDER": "sendgrid",
    "WINBACK_EMAIL__FROM_ADDRESS": "hello@shop.example",
    "WINBACK_SENDGRID__API_KEY": "SG.secret",
    "WINBACK_SENDGRID__WEBHOOK_PUBLIC_KEY": "MFkw",
}
TWILIO = {
    "WINBACK_SMS__PROVIDER": "twilio",
    "WINBACK_TWILIO__ACCOUNT_SID": "AC1",
    "WINBACK_TWILIO__AUTH_TOKEN": "token",
    "WINBACK_TWILIO__FROM": "+4512345678",
}
APNS = {
    "WINBACK_PUSH__PROVIDERS": "apns",
    "WINBACK_APNS__KEY_FILE": "/keys/apns.p8",
    "WINBACK_APNS__KEY_ID": "K",
    "WINBACK_APNS__TEAM_ID": "T",
    "WINBACK_APNS__TOPIC": "example.shop",
}
WEBPUSH = {
    "WINBACK_PUSH__PROVIDERS": "webpush",
    "WINBACK_WEBPUSH__PRIVATE_KEY_FILE": "/keys/vapid.pem",
    "WINBACK_WEBPUSH__SUBJECT": "mailto:hello@shop.example",
}
SASL = {
    "WINBACK_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "WINBACK_KAFKA__SASL_USERNAME": "winback",
    "WINBACK_KAFKA__SASL_PASSWORD": "word",
}


def run(**changes: str) -> Settings:
    """Load for `run`, with the required variables and `changes`."""
    return load({**RUN, **changes}, command="run")


def fault(environ: dict[str, str], command: str = "run") -> str:
    """The one line that a wrong setting leads to."""
    with pytest.raises(SettingsError) as raised:
        load(environ, command=command)
    line = str(raised.value)
    assert "\n" not in line
    return line


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    """All but one variable."""
    return {key: text for key, text in environ.items() if key != name}


# --- what is there -------------------------------------------------------------


def test_defaults_are_those_of_the_contract() -> None:
    """A setting that is not given has the contract's default."""
    settings = load(RUN, command="run")
    assert settings.kafka.bootstrap_servers == ("kafka-0:9092", "kafka-1:9092")
    assert settings.kafka.group_id == "winback-gateway"
    assert settings.kafka.sends_topic == "winback.sends"
    assert settings.kafka.presence_topic == "winback.presence"
    assert settings.kafka.conversions_topic == "winback.conversions"
    assert settings.kafka.consent_topic == "winback.consent"
    assert settings.kafka.engagement_topic == "winback.engagement"
    assert settings.kafka.dlq_topic == "winback.sends.dlq"
    assert settings.store.url == StoreUrl("sqlite", Path("winback.db"), Secret(""))
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)  # noqa: S104
    assert settings.email.provider == settings.sms.provider == "sandbox"
    assert settings.push.providers == ("sandbox",)
    assert settings.sendgrid.batch_size == 100
    assert settings.consent.sms_proof == "optional"
    assert settings.templates.path is settings.policy.file is settings.geo.fences_file is None


def test_every_field_is_a_variable_and_every_variable_a_field() -> None:
    """The table and the tree are one thing: names are unique and follow the pattern."""
    names = [variable.name for variable in variables()]
    sections = dataclasses.fields(Settings)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"WINBACK_[A-Z]+__[A-Z_]+", name) for name in names)
    assert {variable.section for variable in variables()} == {entry.name for entry in sections}


def test_every_default_has_its_own_form() -> None:
    """A default that its own form refuses could never be written down by an operator."""
    for variable in variables():
        if variable.row.default:
            variable.row.form.parse(variable.row.default)


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen from top to bottom."""
    http = load(RUN, command="run").http
    for entry in dataclasses.fields(http):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(http, entry.name, None)


# --- what each command needs ---------------------------------------------------


@pytest.mark.parametrize("name", RUN)
def test_run_names_the_required_variable_that_is_missing(name: str) -> None:
    """`run` cannot do without any of the required variables, nor with an empty one."""
    assert fault(without(RUN, name)).startswith(f"{name} is required")
    assert fault({**RUN, name: ""}).startswith(f"{name} is required")


@pytest.mark.parametrize("command", ["demo", "preview", "migrate", "explain", "results", "switch"])
def test_commands_that_talk_to_nobody_need_nothing(command: str) -> None:
    """`demo` and `preview` fill in what they need; the others only open the store."""
    settings = load({}, command=command)
    assert settings.store.url.dialect == "sqlite"


@pytest.mark.parametrize("command", ["send", "dlq"])
def test_commands_that_use_kafka_need_its_servers(command: str) -> None:
    """`send` and `dlq` need brokers, and nothing else."""
    servers = {"WINBACK_KAFKA__BOOTSTRAP_SERVERS": "localhost:9092"}
    assert load(servers, command=command).kafka.bootstrap_servers == ("localhost:9092",)
    assert fault({}, command).startswith("WINBACK_KAFKA__BOOTSTRAP_SERVERS is required")
    assert fault(servers | without(SASL, "WINBACK_KAFKA__SASL_PASSWORD"), command).startswith(
        "WINBACK_KAFKA__SASL_PASSWORD is required"
    )


def test_the_demo_has_all_that_it_needs_and_listens_on_this_machine() -> None:
    """The demo's links lead to the port that it listens on."""
    settings = load({"WINBACK_HTTP__PORT": "9000"}, command="demo")
    assert settings.http.host == "127.0.0.1"
    assert settings.http.public_url == "http://127.0.0.1:9000"
    assert settings.brand.name
    assert settings.brand.postal_address
    assert settings.tracking.secrets
    assert settings.api.keys


def test_what_is_set_wins_over_what_the_demo_fills_in() -> None:
    """A demo can be given the reader's own brand."""
    assert load({"WINBACK_BRAND__NAME": "Mine"}, command="demo").brand.name == "Mine"


def test_a_wrong_port_is_named_even_where_the_demo_makes_a_url_of_it() -> None:
    """The variable at fault is the one that was set."""
    assert fault({"WINBACK_HTTP__PORT": "x"}, "demo").startswith("WINBACK_HTTP__PORT must be")


def test_a_demo_that_others_can_reach_needs_a_key_of_its_own() -> None:
    """The demo's key is public, so it opens nothing beyond this machine."""
    reachable = {"WINBACK_HTTP__HOST": "0.0.0.0"}  # noqa: S104
    own = {name: RUN[name] for name in ("WINBACK_API__KEYS", "WINBACK_TRACKING__SECRETS")}
    assert fault(reachable, "demo").startswith("WINBACK_API__KEYS is required")
    assert fault(reachable | without(own, "WINBACK_TRACKING__SECRETS"), "demo").startswith(
        "WINBACK_TRACKING__SECRETS is required"
    )
    assert load(reachable | own, command="demo").api.keys[0].reveal() == "key-of-campaigns"
    assert set(own) < set(DEMO_DEFAULTS)


# --- what a choice brings with it ----------------------------------------------


@pytest.mark.parametrize(
    ("environ", "needed"),
    [
        *[(SENDGRID, name) for name in SENDGRID if name != "WINBACK_EMAIL__PROVIDER"],
        *[(TWILIO, name) for name in TWILIO if name != "WINBACK_SMS__PROVIDER"],
        *[(APNS, name) for name in APNS if name != "WINBACK_PUSH__PROVIDERS"],
        *[(WEBPUSH, name) for name in WEBPUSH if name != "WINBACK_PUSH__PROVIDERS"],
        *[(SASL, name) for name in SASL if name != "WINBACK_KAFKA__SECURITY_PROTOCOL"],
    ],
)
def test_a_choice_needs_what_belongs_to_it(environ: dict[str, str], needed: str) -> None:
    """With a provider switched on, each thing that it cannot work without is required."""
    load(RUN | environ, command="run")
    assert fault(RUN | without(environ, needed)).startswith(needed)


@pytest.mark.parametrize(
    ("chosen", "needed"),
    [
        ({"WINBACK_EMAIL__PROVIDER": "smtp"}, "WINBACK_EMAIL__FROM_ADDRESS"),
        (
            {"WINBACK_EMAIL__PROVIDER": "smtp", "WINBACK_EMAIL__FROM_ADDRESS": "a@b.example"},
            "WINBACK_SMTP__URL",
        ),
        ({"WINBACK_PUSH__PROVIDERS": "sandbox,fcm"}, "WINBACK_FCM__CREDENTIALS_FILE"),
    ],
)
def test_one_of_several_providers_needs_its_own(chosen: dict[str, str], needed: str) -> None:
    """A provider in a list of providers counts as chosen."""
    assert fault(RUN | chosen).startswith(f"{needed} is required when ")


def test_a_messaging_service_is_a_sender_too() -> None:
    """Twilio needs one of the two senders."""
    environ = without(TWILIO, "WINBACK_TWILIO__FROM")
    settings = run(**environ, WINBACK_TWILIO__MESSAGING_SERVICE_SID="MG1")
    assert settings.twilio.from_number == ""
    assert settings.twilio.messaging_service_sid == "MG1"


def test_two_topics_cannot_have_one_name() -> None:
    """A gateway that reads its own output would never end."""
    line = fault({**RUN, "WINBACK_KAFKA__ENGAGEMENT_TOPIC": "winback.sends"})
    assert line.startswith("WINBACK_KAFKA__ENGAGEMENT_TOPIC ")


def test_a_key_of_a_certificate_needs_the_certificate() -> None:
    """A private key alone proves nothing."""
    line = fault({**RUN, "WINBACK_KAFKA__SSL_KEYFILE": "/keys/our.key"})
    assert line.startswith("WINBACK_KAFKA__SSL_CERTFILE is required")


# --- what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WINBACK_HTTP__PROT", "WINBACK_HTTP__PORT"),
        ("WINBACK_KAFKA__BOOTSTRAP_SERVER", "WINBACK_KAFKA__BOOTSTRAP_SERVERS"),
        ("WINBACK_STORE_URL", "WINBACK_STORE__URL"),
        ("WINBACK_SECRET_DIR", "WINBACK_SECRETS_DIR"),
    ],
)
def test_an_unknown_name_stops_the_start_with_the_likely_one(name: str, hint: str) -> None:
    """A misspelt variable is never silently without effect, whatever the command."""
    for command in ("run", "demo", "migrate"):
        assert fault({**RUN, name: ""}, command) == f"{name} is not a setting; did you mean {hint}?"


def test_an_unknown_name_like_no_other_is_just_refused() -> None:
    """There is no guess where there is no likeness."""
    assert fault({**RUN, "WINBACK_ZZZ": "1"}) == "WINBACK_ZZZ is not a setting"


def test_variables_of_others_are_none_of_ours() -> None:
    """Only names that begin with WINBACK_ are looked at."""
    assert run(PATH="/bin", WINBACKUP="1", winback_http__port="1").http.port == 8080


WRONG = [
    (
        "KAFKA__BOOTSTRAP_SERVERS",
        ["kafka", "kafka:", "kafka:0", "kafka:70000", "a:1,,b:2", "a b:1"],
    ),
    ("KAFKA__BOOTSTRAP_SERVERS", ["a:1,a:1"]),
    ("KAFKA__SECURITY_PROTOCOL", ["ssl", "TLS"]),
    ("KAFKA__GROUP_ID", ["a\nb"]),
    ("HTTP__PORT", ["-1", "65536", "8080 ", "0x50", "80.0", "٨٠"]),
    (
        "HTTP__PUBLIC_URL",
        [
            "go.shop.example",
            "http://go.shop.example",
            "https://",
            "https://go.shop.example/path",
            "https://go.shop.example?x",
            "https://go.shop.example#x",
            "https://me@go.shop.example",
            "https://go.shop.example:99999",
            "https://go shop.example",
            "https://[::1",
            "ftp://go.shop.example",
        ],
    ),
    ("SENDGRID__BASE_URL", ["https://api.sendgrid.com/v3", "http://127.0.0.1.example"]),
    ("TWILIO__BASE_URL", ["http://10.0.0.1"]),
    ("TRACKING__SECRETS", ["short", "a" * 15, f"{'a' * 16},short", ",".join("abc" * 16)]),
    ("TRACKING__SECRETS", [f"{'a' * 16},{'b' * 16},{'c' * 16}", f"{'a' * 16},{'a' * 16}"]),
    ("API__KEYS", ["1234567", "12345678,", ",", "12345678,\x00"]),
    ("EMAIL__PROVIDER", ["Sendgrid", "mailgun"]),
    ("EMAIL__FROM_ADDRESS", ["me", "me@", "a b@c", "a@b@c", "a@b,c@d", "<a@b>"]),
    ("EMAIL__FROM_NAME", ["a\r\nBcc: b@c"]),
    ("SENDGRID__BATCH_SIZE", ["0", "1001", "many"]),
    ("SENDGRID__TIMEOUT_SECONDS", ["0", "30.1", "nan", "inf", "-1", "x"]),
    (
        "SMTP__URL",
        ["http://relay.example", "smtp://", "relay.example:25", "smtp://a/b", "smtp://a:b"],
    ),
    ("PUSH__PROVIDERS", ["gcm", "fcm,", "fcm,fcm", "fcm apns"]),
    ("WEBPUSH__SUBJECT", ["mailto:me", "me@shop.example", "http://shop.example"]),
    ("WEBPUSH__ALLOWED_HOSTS", ["https://push.example", "*", "a.*.b", "push.example:443"]),
    ("LIMITS__SMS_PER_SECOND", ["-1", "fast", "nan"]),
    (
        "STORE__URL",
        ["winback.db", "sqlite://winback.db", "sqlite:///", "sqlite:///a/", "mysql://a"],
    ),
    ("BRAND__SITE_URL", ["shop.example", "http://shop.example"]),
    ("CONSENT__SMS_PROOF", ["yes"]),
    ("SHUTDOWN__DRAIN_SECONDS", ["601", "soon"]),
    ("LOG__LEVEL", ["INFO", "trace"]),
]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in WRONG for text in texts]
)
def test_a_wrong_value_is_one_line_that_names_its_variable(name: str, text: str) -> None:
    """Whatever is wrong, the line starts with the variable; all commands check what is given."""
    for command in ("run", "migrate"):
        assert fault({**RUN, f"WINBACK_{name}": text}, command).startswith(f"WINBACK_{name} ")


@pytest.mark.parametrize("name", [variable.name for variable in variables()])
def test_a_refusal_never_repeats_a_secret(name: str) -> None:
    """An error goes to the log, so it does not hold what was refused."""
    with pytest.raises(SettingsError) as raised:
        load({**RUN, name: "hun\x07ter2"}, command="migrate")
    assert "ter2" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


# --- what is read --------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///winback.db", "winback.db"),
        ("sqlite:///data/winback.db", "data/winback.db"),
        ("sqlite:////var/lib/winback/winback.db", "/var/lib/winback/winback.db"),
    ],
)
def test_a_sqlite_url_is_relative_with_three_slashes_and_absolute_with_four(
    url: str, path: str
) -> None:
    """The fourth slash is the path's own."""
    assert run(WINBACK_STORE__URL=url).store.url == StoreUrl("sqlite", Path(path), Secret(""))


def test_a_postgresql_url_is_kept_whole_and_hidden() -> None:
    """The driver reads it; it may hold a password."""
    url = "postgresql://winback:word@db.example/winback?sslmode=require"
    store = run(WINBACK_STORE__URL=url).store
    assert store.url.dialect == "postgresql"
    assert store.url.dsn.reveal() == url
    assert "word" not in repr(store)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtp://relay.example",
            SmtpUrl("relay.example", 25, tls=False, username="", password=Secret("")),
        ),
        (
            "smtps://relay.example",
            SmtpUrl("relay.example", 465, tls=True, username="", password=Secret("")),
        ),
        (
            "smtp://me:w%40rd@relay.example:587",
            SmtpUrl("relay.example", 587, tls=False, username="me", password=Secret("w@rd")),
        ),
    ],
)
def test_a_relay_is_read_from_its_url(url: str, expected: SmtpUrl) -> None:
    """Ports have their usual defaults; user and password may be percent-encoded."""
    assert run(WINBACK_SMTP__URL=url).smtp.url == expected


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://go.shop.example/", "https://go.shop.example"),
        ("https://go.shop.example:8443", "https://go.shop.example:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_base_url_has_no_last_slash_and_may_be_plain_on_loopback(given: str, read: str) -> None:
    """Paths are added to it, so its own slash goes."""
    assert run(WINBACK_HTTP__PUBLIC_URL=given).http.public_url == read


def test_spaces_around_items_of_a_list_do_not_count() -> None:
    """`a, b` is what people write."""
    settings = run(WINBACK_WEBPUSH__ALLOWED_HOSTS="push.example,  *.Push.Example")
    assert settings.webpush.allowed_hosts == ("push.example", "*.push.example")


def test_an_empty_value_is_the_default() -> None:
    """Compose files pass empty variables for what is not set."""
    assert run(WINBACK_HTTP__PORT="", WINBACK_STORE__URL="").http.port == 8080


def test_zero_is_no_limit_and_fractions_are_rates() -> None:
    """Rates are numbers, from none at all to one in ten seconds."""
    assert run(WINBACK_LIMITS__SMS_PER_SECOND="0.1").limits.sms_per_second == 0.1
    assert run(WINBACK_LIMITS__SMS_PER_SECOND="0").limits.sms_per_second == 0


# --- secrets -------------------------------------------------------------------


def test_o12_secrets_may_be_files(tmp_path: Path) -> None:
    """O12: a file named like the variable is its value, without its last line end."""
    (tmp_path / "WINBACK_API__KEYS").write_text("key-from-a-file\n")
    (tmp_path / "WINBACK_TRACKING__SECRETS").write_text("signing-secret-from-file\r\n")
    (tmp_path / "..data").mkdir()
    (tmp_path / "README").write_text("not ours")
    environ = without(without(RUN, "WINBACK_API__KEYS"), "WINBACK_TRACKING__SECRETS")
    settings = load({**environ, "WINBACK_SECRETS_DIR": str(tmp_path)}, command="run")
    assert [key.reveal() for key in settings.api.keys] == ["key-from-a-file"]
    assert settings.tracking.secrets == (Secret("signing-secret-from-file"),)


def test_o12_mounted_secrets_are_links_and_are_followed(tmp_path: Path) -> None:
    """O12: Kubernetes mounts each file as a link into a hidden folder."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/WINBACK_API__KEYS").write_text("key-from-a-file")
    (tmp_path / "WINBACK_API__KEYS").symlink_to("..data/WINBACK_API__KEYS")
    environ = {**without(RUN, "WINBACK_API__KEYS"), "WINBACK_SECRETS_DIR": str(tmp_path)}
    assert load(environ, command="run").api.keys == (Secret("key-from-a-file"),)


def test_a_secret_in_two_places_is_refused(tmp_path: Path) -> None:
    """Who rotates one of two would wonder why nothing happens."""
    (tmp_path / "WINBACK_API__KEYS").write_text("key-from-a-file")
    line = fault({**RUN, "WINBACK_SECRETS_DIR": str(tmp_path)})
    assert line.startswith("WINBACK_API__KEYS is set both")


@pytest.mark.parametrize(
    ("file_name", "content", "line"),
    [
        ("WINBACK_API__KEY", b"x", "WINBACK_API__KEY is not a setting"),
        ("WINBACK_API__KEYS", b"\xff\xfe", "WINBACK_API__KEYS is a file that cannot be read"),
        ("WINBACK_API__KEYS", b"x" * 65_537, "WINBACK_API__KEYS is a file too large"),
        ("WINBACK_API__KEYS", b"two\nlines of a key", "WINBACK_API__KEYS holds a control"),
        ("WINBACK_API__KEYS", b"", "WINBACK_API__KEYS is required"),
    ],
)
def test_a_wrong_secret_file_is_named(
    tmp_path: Path, file_name: str, content: bytes, line: str
) -> None:
    """Files are held to the same rules as variables."""
    (tmp_path / file_name).write_bytes(content)
    environ = {**without(RUN, "WINBACK_API__KEYS"), "WINBACK_SECRETS_DIR": str(tmp_path)}
    assert fault(environ).startswith(line)


def test_a_folder_of_secrets_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A mount that failed is no reason to start without secrets."""
    line = fault({**RUN, "WINBACK_SECRETS_DIR": str(tmp_path / "none")})
    assert line == "WINBACK_SECRETS_DIR is not a folder"


def test_o12_secrets_print_as_stars() -> None:
    """O12: no secret of the tree shows in its repr, in a format or in a dictionary of it."""
    settings = run(**SENDGRID, **TWILIO, WINBACK_SMTP__URL="smtp://me:hunter2@relay.example")
    shown = f"{settings} {settings!r} {dataclasses.asdict(settings)}"
    for text in ("SG.secret", "signing-secret", "key-of", "hunter2", "'token'"):
        assert text not in shown
    assert "********" in shown


def test_o12_secrets_cannot_be_written_anywhere() -> None:
    """O12: a secret is compared and revealed, never pickled or copied into something else."""
    secret = Secret("hunter2")
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
    assert not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert copy.copy(secret) is secret
