import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from andon.errors import StartError
from andon.settings import Settings, load_settings

# The names that the outside relies on, with their defaults (design, section 7).
PROMISED: dict[str, object] = {
    "ANDON_REDIS_URL": "redis://127.0.0.1:6379/0",
    "ANDON_UPSTREAM_API": "responses",
    "ANDON_AUTH": "none",
    "ANDON_LEASE_S": 5,
    "ANDON_DRAIN_S": 30,
    "ANDON_LOG_TTL_S": 600,
    "ANDON_SESSION_TTL_S": 86400,
    "ANDON_QUEUE_TTL_S": 300,
    "ANDON_MAX_RUN_S": 3600,
    "ANDON_WORKER_CONCURRENCY": 500,
    "ANDON_MAX_FRAME_BYTES": 4 * 1024 * 1024,
}


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_setting_has_its_promised_default(name: str) -> None:
    """Its documented default is what an empty environment gives."""
    assert getattr(load_settings({}), name.removeprefix("ANDON_").lower()) == PROMISED[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDON_LEASE_S", "0.1"),
        ("ANDON_LEASE_S", "nan"),
        ("ANDON_LEASE_S", "301"),
        ("ANDON_DRAIN_S", "-1"),
        ("ANDON_LOG_TTL_S", "0"),
        ("ANDON_QUEUE_TTL_S", "inf"),
        ("ANDON_WORKER_CONCURRENCY", "0"),
        ("ANDON_WORKER_CONCURRENCY", "2.5"),
        ("ANDON_MAX_FRAME_BYTES", "100"),
        ("ANDON_REDIS_URL", "http://localhost"),
        ("ANDON_UPSTREAM_API", "smoke-signals"),
        ("ANDON_UPSTREAM_API", "package.module:not a name"),
        ("ANDON_AUTH", "maybe"),
        ("ANDON_LOG_LEVEL", "loud"),
        ("ANDON_DRAIN_ENDING", "somehow"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    """The start is refused with the variable, its value and what is wrong with it."""
    with pytest.raises(StartError) as refused:
        load_settings({name: value})
    line = str(refused.value)
    assert "\n" not in line
    assert name in line
    assert value in line


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("ANDON_LEASE", "ANDON_LEASE_S"),
        ("ANDON_LEASES_S", "ANDON_LEASE_S"),
        ("ANDON_WORKERS_CONCURRENCY", "ANDON_WORKER_CONCURRENCY"),
        ("ANDON_REDIS", "ANDON_REDIS_URL"),
        ("andon_max_frames_bytes", "ANDON_MAX_FRAME_BYTES"),
    ],
)
def test_an_unknown_variable_stops_the_start_with_the_nearest_known_name(wrong: str, nearest: str) -> None:
    """A misspelt bound is a bound that is not there."""
    with pytest.raises(StartError) as refused:
        load_settings({wrong: "5"})
    assert wrong in str(refused.value)
    assert f"{nearest}?" in str(refused.value)


@given(st.text(alphabet="ABCXYZ_", min_size=1, max_size=12))
def test_whatever_is_unknown_is_answered_with_a_known_name(tail: str) -> None:
    """There is always a nearest name."""
    name = f"ANDON_{tail}"
    if tail.lower() in Settings.model_fields or name in {"ANDON_TOKEN", "ANDON_URL"}:
        return
    with pytest.raises(StartError, match=r"did you mean ANDON_[A-Z_]+\?"):
        load_settings({name: "1"})


def test_variables_of_others_are_no_concern() -> None:
    """Only `ANDON_` is ours; the command's own client variables stop no server."""
    assert load_settings({"PATH": "/bin", "OPENAI_API_KEY": "k", "ANDON_TOKEN": "t", "ANDON_URL": "u"}) == Settings()


def test_settings_are_frozen() -> None:
    """One model a process, read once."""
    with pytest.raises(ValidationError):
        Settings().lease_s = 7  # type: ignore[misc]


def test_every_setting_says_what_it_is_for() -> None:
    """A number without a reason is not a setting; what is counted has bounds."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float):
            assert field.metadata, f"{name} has no bounds"


def test_live_keys_outlast_any_job() -> None:
    """Waiting, running and being replayed all fit into the time to live of live work."""
    settings = load_settings({"ANDON_QUEUE_TTL_S": "10", "ANDON_MAX_RUN_S": "20", "ANDON_LOG_TTL_S": "30"})
    assert settings.live_ttl_s == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANDON_REDIS_URL", "http://:s3cret@localhost"),
        ("ANDON_REDIS_URL", "redis//user:s3cret@localhost"),
        ("ANDON_REDIS_URL", "localhost?password=s3cret"),
        ("ANDON_JWT_LEEWAY_S", "soon"),
        ("ANDON_ALLOWED_ORIGINS", "app.example.com"),
    ],
)
def test_a_refused_start_shows_no_secret(name: str, value: str) -> None:
    """Neither that of the bad variable nor that of another."""
    with pytest.raises(StartError) as refused:
        load_settings({"ANDON_JWT_SECRET": "s3cret" * 6, name: value})
    assert name in str(refused.value)
    assert "s3cret" not in f"{refused.value} {refused.value!r} {refused.value.__cause__!r}"


def test_settings_show_no_secret() -> None:
    """However they are written."""
    settings = load_settings({"ANDON_JWT_SECRET": "s3cret" * 6, "ANDON_REDIS_URL": "redis://:s3cret@localhost/0"})
    assert "s3cret" not in f"{settings} {settings!r} {settings.jwt_secret!r}"


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("https://a.example", ("https://a.example",)),
        (" https://a.example , http://localhost:3000,", ("https://a.example", "http://localhost:3000")),
    ],
)
def test_origins_are_a_list_with_commas(value: str, origins: tuple[str, ...]) -> None:
    """As a browser sends them: scheme, host, port, and nothing more."""
    assert load_settings({"ANDON_ALLOWED_ORIGINS": value}).allowed_origins == origins
