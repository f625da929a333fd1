"""The documentation says what the code does: commands parse, configuration keys exist, the site builds."""

import configparser
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import luigi
import pytest
from luigi.task_register import Register
from PIL import Image

import tasks

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
UPSCALE_OPTIONS = {"--model", "--scale", "--device", "--quality", "--memory-mb"}
DOCTOR_OPTIONS = {"--store", "--hosts", "--also", "--wait-s"}
LUIGI_SECTIONS = {"core", "worker", "scheduler", "retcode"}
LONGEST_LINE = 160


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced code blocks of these languages."""
    fences = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [body for language, body in fences if language in languages]


def commands(page: Path) -> list[list[str]]:
    """Return the words of each sr-factory and luigi command of a page, without what stands before it."""
    found = []
    for body in blocks(page, "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:
                words = words[1:]
            if words[:1] == ["sr-factory"] or words[:3] == ["luigi", "--module", "tasks"]:
                found.append(words)
    return found


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
NAMES = [f"{page.name}: {' '.join(words)}" for page, words in COMMANDS]


def options_of(task: str) -> dict[str, luigi.Parameter]:
    """Return what a command of this task takes, by the exact name of the option."""
    everywhere = {
        f"--{name if is_bare else f'{section}_{name}'}".replace("_", "-"): parameter
        for section, is_bare, name, parameter in Register.get_all_params()
    }
    own = getattr(tasks, task).get_params()
    return everywhere | {f"--{name}".replace("_", "-"): parameter for name, parameter in own}


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=NAMES)
def test_every_command_in_the_documentation_parses(page, words):
    arguments = words[1:] if words[0] == "sr-factory" else words[3:]
    if arguments[:1] == ["upscale"]:
        assert {word for word in arguments if word.startswith("--")} <= UPSCALE_OPTIONS
        return
    arguments = arguments[1:] if arguments[:1] == ["status"] else arguments
    if arguments[:1] == ["doctor"]:
        assert {word for word in arguments if word.startswith("--")} <= DOCTOR_OPTIONS
        return
    if arguments[:1] == ["shards"]:
        arguments = ["PlanCrops", "--dataset", *(word for word in arguments[1:] if word != "--json")]
    if not arguments:
        return
    task, *rest = arguments
    assert task in tasks.__all__
    options, given = options_of(task), set()
    while rest:
        option = rest.pop(0)
        assert option in options, f"{task} has no option {option}"
        given.add(option)
        if not isinstance(options[option], luigi.BoolParameter):
            options[option].normalize(options[option].parse(rest.pop(0)))
    if not {"--help", "--help-all"} & given:
        needed = {
            name for name, one in getattr(tasks, task).get_params() if not one.has_task_value(task, name)
        }
        assert {f"--{name}".replace("_", "-") for name in needed} <= given


def test_every_script_in_the_documentation_exists_and_has_the_options_it_is_shown_with():
    shown = [
        line
        for page in PAGES
        for body in blocks(page, "sh")
        for line in body.replace("\\\n", " ").splitlines()
    ]
    scripts = [re.search(r"python (tests/\S+\.py)(.*)", line) for line in shown]
    wrong = []
    for script in filter(None, scripts):
        text = (ROOT / script[1]).read_text()
        own_options = script[2].partition(" -- ")[0]
        wrong += [(script[1], one) for one in re.findall(r"--[\w-]+", own_options) if f'"{one}"' not in text]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_configuration_example_names_keys_that_exist(page, reference):
    sections = {
        name: {key for key, _ in cls.get_params()} for name, cls in reference.config_sections().items()
    }
    for body in blocks(page, "ini"):
        parser = configparser.ConfigParser()
        parser.read_string(body)
        for section in set(parser.sections()) - LUIGI_SECTIONS:
            assert set(parser[section]) <= sections[section], f"{page.name}: [{section}]"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_are_short_enough_to_read_in_an_editor(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    long = [line for line in prose.splitlines() if len(line) > LONGEST_LINE and not line.startswith("|")]
    assert long == []


def test_the_architecture_that_the_documentation_adds_has_the_shapes_that_it_promises():
    first, second = blocks(ROOT / "docs" / "how-to" / "add-an-architecture.md", "python")[:2]
    check = """
import torch
net = MyNet(scale=3, channels=8)
assert net(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 15, 21) and (net.scale, net.size_multiple) == (3, 1)
shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
assert infer_configuration(shapes) == {"scale": 3, "channels": 8} and infer_configuration({}) is None
"""
    # Another process: torch must not be loaded in one whose tests fork.
    run = subprocess.run([sys.executable, "-c", first + second + check], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_examples_of_upscaling_in_python_run(tmp_path):
    Image.new("RGB", (31, 22), "teal").save(tmp_path / "in.png")
    program = "\n".join(blocks(ROOT / "docs" / "how-to" / "upscale-in-python.md", "python"))
    # Another process: torch must not be loaded in one whose tests fork.
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "SR_COMPILED_MODELS": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert Image.open(tmp_path / "out.png").size == (62, 44)
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["bicubic", "realtime-x2"]


def test_every_page_and_image_that_the_code_names_exists():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [name for name in listed.stdout.splitlines() if name.endswith((".py", ".toml", ".cfg", ".md"))]
    named = {
        (name, path)
        for name in files
        if name != "CHANGELOG.md" and (ROOT / name).is_file()
        for path in re.findall(r"\bdocs/[\w/-]+\.(?:md|svg|jpg|png)\b", (ROOT / name).read_text())
    }
    assert {(name, path) for name, path in named if not (ROOT / path).is_file()} == set()


def load_tool(name):
    """Return a module of docs/_tools."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    return load_tool("reference")


def test_the_drawing_of_the_dag_shows_every_task_and_only_real_arrows():
    tool = load_tool("draw_dag")
    assert tool.draw() == tool.DRAWING.read_text(), "run: python docs/_tools/draw_dag.py"


def test_the_generated_pages_have_every_task_and_every_key(reference):
    tasks_page, configuration = reference.tasks_page(), reference.configuration_page()
    assert [name for name in tasks.__all__ if f"## {name}\n" not in tasks_page] == []
    for name, section in reference.config_sections().items():
        assert f"## [{name}]" in configuration
        assert [key for key, _ in section.get_params() if f"| `{key}` |" not in configuration] == []
    assert re.search(r"\| `--benchmark` \| [^|]+ \| required \|", tasks_page)


def test_every_parameter_has_a_description(reference):
    undescribed = re.findall(r"^\| `([\w-]+)` \|.*\| +\|$", reference.configuration_page(), re.MULTILINE)
    undescribed += re.findall(r"^\| `([\w-]+)` \|.*\| +\|$", reference.tasks_page(), re.MULTILINE)
    assert undescribed == []


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*src=\"([^\"]+)\"", page.read_text())
        loaded += re.findall(
            r"<link[^>]*rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"([^\"]+)\"", page.read_text()
        )
        assert [url for url in loaded if url.startswith(("http:", "https:", "//"))] == []
