"""What containers and a Space are made from: no engine is needed to see whether it holds together."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import videograin
from videograin.jobs.settings import RAY, read_operator_settings
from videograin.jobs.worker import STOP_SECONDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the last stage, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    last = max(index for index, (name, _) in enumerate(lines) if name == "FROM")
    return [(name, " ".join(rest.split())) for name, rest in lines[last:]]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def front_matter() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "README.md").read_text().split("---\n")[1])


def of(dockerfile: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in dockerfile if instruction == name]


def copied(dockerfile: list[tuple[str, str]]) -> list[str]:
    """What is copied from the checkout."""
    copies = [copy.split() for copy in of(dockerfile, "COPY") if not copy.startswith("--from")]
    return [source for *sources, _target in copies for source in sources]


def environment(dockerfile: list[tuple[str, str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in of(dockerfile, "ENV") for pair in shlex.split(line))


def test_all_that_is_copied_is_there_and_sent_to_the_engine(dockerfile: list[tuple[str, str]]) -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sent = [line[1:] for line in ignored if line[0] == "!"]
    assert ignored[0] == "*"
    assert sorted(copied(dockerfile)) == sorted(sent)
    assert all((ROOT / source).exists() for source in sent)


def test_every_package_is_copied_with_the_models_and_examples(dockerfile: list[tuple[str, str]]) -> None:
    packages = {init.parent.name for init in ROOT.glob("*/__init__.py")} - {"benchmarks", "training"}
    assert packages | {"app.py", "assets"} <= set(copied(dockerfile))


def test_a_tag_that_moves_changes_no_image() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base) for base in bases)
    assert bases


def test_the_container_is_nobody_s_root(dockerfile: list[tuple[str, str]]) -> None:
    (user,) = of(dockerfile, "USER")
    assert int(user) > 0
    names = [name for name, _ in dockerfile]
    assert "RUN" not in names[names.index("USER") :]


def test_data_and_models_outlive_the_container_and_nothing_else_is_written(dockerfile: list[tuple[str, str]]) -> None:
    volumes = re.findall(r'"(.+?)"', of(dockerfile, "VOLUME")[0])
    given = environment(dockerfile)
    for name in ("VIDEOGRAIN_DATA_FOLDER", "GRADIO_TEMP_DIR", "HF_HOME", "XDG_CACHE_HOME", "TRITON_CACHE_DIR"):
        assert any(Path(given[name]).is_relative_to(volume) for volume in volumes), name
    settings = read_operator_settings(given)
    assert given["GRADIO_TEMP_DIR"] == str(settings.data_folder / "web") == "/data/web"


def test_its_health_is_asked_for_where_it_listens(dockerfile: list[tuple[str, str]]) -> None:
    port = environment(dockerfile)["GRADIO_SERVER_PORT"]
    assert f"127.0.0.1:{port}/health" in of(dockerfile, "HEALTHCHECK")[0]
    assert of(dockerfile, "EXPOSE") == [port]


def test_dependencies_come_before_the_code_so_that_their_layer_is_kept(dockerfile: list[tuple[str, str]]) -> None:
    copies = copied(dockerfile)
    assert copies[0] == "requirements.txt"
    assert copies.index("assets") < copies.index("videograin") < copies.index("app.py")


def test_compose_gives_the_studio_time_to_stop_its_volumes_and_limits(
    compose: dict[str, Any], dockerfile: list[tuple[str, str]]
) -> None:
    for service in compose["services"].values():
        assert float(service["stop_grace_period"].rstrip("s")) > STOP_SECONDS
        assert service["read_only"] is True
        assert [volume.split(":")[1] for volume in service["volumes"]] == ["/data", "/models"]
        assert all(port.endswith(of(dockerfile, "EXPOSE")[0]) for port in service["ports"])
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert all("size=" in mount for mount in service["tmpfs"])
    assert "profiles" not in compose["services"]["studio"]
    assert compose["services"]["studio-gpu"]["profiles"] == ["gpu"]


def test_each_command_of_compose_starts_services_that_exist_and_do_not_share_a_port(compose: dict[str, Any]) -> None:
    services, commands = compose["services"], []
    for page in ("docker-compose.yml", "docs/deploy.md", "README.md", "CHANGELOG.md"):
        text = re.sub(r"\n#? *", " ", (ROOT / page).read_text())
        commands += re.findall(r"docker compose ((?:--\S+ \S+ )*)up((?: [\w-]+)*)", text)
    assert len(commands) >= 4
    for options, named in commands:
        chosen = re.findall(r"--profile (\S+)", options)
        started = [name for name in named.split() if name in services]
        if not started:
            started = [name for name, each in services.items() if set(each.get("profiles", ())) <= set(chosen)]
        ports = [port for name in started for port in services[name]["ports"]]
        assert len(ports) == len(set(ports)), (options, named)


def test_compose_and_kubernetes_start_a_cluster_with_settings_that_there_are(compose: dict[str, Any]) -> None:
    studio, worker = (compose["services"][f"cluster-{name}"] for name in ("studio", "worker"))
    given = {name: str(value).replace("${STUDIO_GPUS:-1}", "1") for name, value in studio["environment"].items()}
    assert read_operator_settings(given).executor == RAY
    assert worker["ports"] == []
    assert all(each["environment"]["RAY_AUTH_MODE"] == "token" for each in (studio, worker))
    manifests = list(yaml.safe_load_all((ROOT / "docs/cluster/kuberay.yaml").read_text()))
    cluster = next(each["spec"] for each in manifests if each["kind"] == "RayCluster")
    head = cluster["headGroupSpec"]["template"]["spec"]
    (workers,) = cluster["workerGroupSpecs"]
    settings = read_operator_settings({each["name"]: each["value"] for each in head["containers"][0]["env"]})
    assert settings.ray_actors == workers["maxReplicas"]
    assert cluster["rayVersion"] == (ROOT / "requirements-ray.txt").read_text().strip().rpartition("==")[2]
    claims = {each["metadata"]["name"] for each in manifests if each["kind"] == "PersistentVolumeClaim"}
    for pod in (head, workers["template"]["spec"]):
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        used = (volume.get("persistentVolumeClaim") for volume in pod["volumes"])
        assert {each["claimName"] for each in used if each} == claims


def test_the_dashboard_asks_for_numbers_that_there_are() -> None:
    dashboard = json.loads((ROOT / "docs/cluster/grafana.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    told = (ROOT / "ui/operations/metrics.py").read_text()
    names = set(re.findall(r"videograin_\w+", asked))
    assert {re.sub("_(bucket|total)$", "", name) for name in names} == set(re.findall(r'"(videograin_\w+)"', told))


def test_the_space_runs_the_gradio_that_the_requirements_name(front_matter: dict[str, Any]) -> None:
    requirements = dict(
        line.split("==") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line
    )
    assert front_matter["sdk"] == "gradio"
    assert front_matter["sdk_version"] == requirements["gradio"]
    assert (ROOT / front_matter["app_file"]).is_file()
    assert len(front_matter["short_description"]) <= 60
    assert front_matter["license"] == "apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_what_ships_runs_on_the_python_that_the_workflow_tests(front_matter: dict[str, Any]) -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    tested = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    assert tested["python"] == [oldest, front_matter["python_version"]]
    assert set(re.findall(r"(?:python:|--python )(\d\.\d+)", (ROOT / "Dockerfile").read_text())) == {
        front_matter["python_version"]
    }


def test_the_hook_before_a_commit_runs_the_ruff_of_make_lint() -> None:
    requirements = (ROOT / "requirements-dev.txt").read_text().splitlines()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert set(hook["additional_dependencies"]) <= set(requirements), hook["id"]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == videograin.__version__
    assert citation["preferred-citation"]["identifiers"][0]["value"] == "arXiv:2502.17258"
    assert f"## {videograin.__version__}" in (ROOT / "CHANGELOG.md").read_text()
