import re
from dataclasses import fields
from pathlib import Path

import pytest

from ui.launch import check_mcp
from videograin.errors import SettingsError
from videograin.jobs.settings import Login, OperatorSettings, read_operator_settings, user_data_folder, variable_of

DOCS = Path(__file__).parents[2] / "docs/deploy.md"


def test_without_variables_the_defaults_hold() -> None:
    assert read_operator_settings({}) == read_operator_settings({"VIDEOGRAIN_MCP": " "}) == OperatorSettings()


def test_each_variable_sets_its_field() -> None:
    settings = read_operator_settings(
        {
            "VIDEOGRAIN_DATA_FOLDER": "~/studio",
            "VIDEOGRAIN_MODELS": "sd15, /models/mine.safetensors",
            "VIDEOGRAIN_DEVICE": "cpu",
            "VIDEOGRAIN_SECOND_DEVICE": "cuda:1",
            "VIDEOGRAIN_OFFLINE": "1",
            "VIDEOGRAIN_MAX_FRAMES": "32",
            "VIDEOGRAIN_RETENTION_HOURS": "1.5",
            "VIDEOGRAIN_AUTH": "ann:a:b, bob:c",
            "VIDEOGRAIN_MCP": "Yes",
            "VIDEOGRAIN_LOG_PROMPTS": "off",
        }
    )
    assert settings == OperatorSettings(
        data_folder=Path.home() / "studio",
        models=("sd15", "/models/mine.safetensors"),
        device="cpu",
        second_device="cuda:1",
        offline=True,
        max_frames=32,
        retention_hours=1.5,
        auth=(Login("ann", "a:b"), Login("bob", "c")),
        mcp=True,
        log_prompts=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MAX_FRAMES", "many", "VIDEOGRAIN_MAX_FRAMES is 'many'; give a whole number from 1 to 3600."),
        ("MAX_FRAMES", "0", "VIDEOGRAIN_MAX_FRAMES is '0'; give a whole number from 1 to 3600."),
        ("MAX_SIDE", "512.5", "VIDEOGRAIN_MAX_SIDE is '512.5'; give a whole number from 64 to 4096."),
        ("RETENTION_HOURS", "nan", "VIDEOGRAIN_RETENTION_HOURS is 'nan'; give a number from 0.1 to 8760."),
        ("EXECUTOR", "spark", "VIDEOGRAIN_EXECUTOR is 'spark'; give thread or ray."),
        ("ZERO_GPU_SIZE", "huge", "VIDEOGRAIN_ZERO_GPU_SIZE is 'huge'; give large or xlarge."),
        ("MCP", "maybe", "VIDEOGRAIN_MCP is 'maybe'; give true or false."),
        ("MODELS", "sd15,,", "VIDEOGRAIN_MODELS is 'sd15,,'; give names separated by commas."),
        (
            "AUTH",
            "ann:a,:secret",
            "VIDEOGRAIN_AUTH has no user or no password somewhere; give user:password, several separated by commas.",
        ),
        ("AUTH", "ann:a,ann:b", "VIDEOGRAIN_AUTH names a user twice; give each of them one password."),
        ("MAX_FRAME", "3", "The variable VIDEOGRAIN_MAX_FRAME is unknown. Did you mean VIDEOGRAIN_MAX_FRAMES?"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_operator_settings({f"VIDEOGRAIN_{variable}": value})
    assert str(error.value) == message


def test_variables_of_others_are_left_alone() -> None:
    assert read_operator_settings({"VIDEOGRAIN_EMOJI_WORLD": "/x", "PATH": "/bin"}) == OperatorSettings()


def test_the_password_is_not_shown() -> None:
    settings = read_operator_settings({"VIDEOGRAIN_AUTH": "ann:hush"})
    assert "hush" not in repr(settings)
    with pytest.raises(SettingsError) as error:
        read_operator_settings({"VIDEOGRAIN_AUTH": "ann:a,hush"})
    assert "hush" not in str(error.value)


def test_the_data_folder_follows_the_desktop_s_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert OperatorSettings().data_folder == user_data_folder() == Path("/somewhere/videograin")


def test_the_manual_lists_every_variable_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(VIDEOGRAIN_\w+)` \| (.+?) \|", DOCS.read_text(), re.MULTILINE))
    assert list(rows) == [variable_of(field.name) for field in fields(OperatorSettings)]
    given = {name: default.strip("`") for name, default in rows.items() if default.startswith("`")}
    assert len(given) == len(rows) - 7  # those of devices, the cluster, its files, the proxies and the login are empty
    assert read_operator_settings({**given, "VIDEOGRAIN_DATA_FOLDER": ""}) == OperatorSettings()


def test_without_its_package_mcp_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.launch.find_spec", lambda _: None)
    check_mcp(OperatorSettings())
    with pytest.raises(SettingsError, match="pip install 'mcp"):
        check_mcp(OperatorSettings(mcp=True))


def test_agents_cannot_be_served_where_people_have_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.launch.find_spec", lambda _: object())
    check_mcp(OperatorSettings(mcp=True))
    with pytest.raises(SettingsError, match="VIDEOGRAIN_MCP does not work together with VIDEOGRAIN_AUTH"):
        check_mcp(OperatorSettings(mcp=True, auth=(Login("ann", "secret"),)))
