"""The check of all tests' output for secrets finds them wherever they come out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof("Secrets")

TESTS = Path(__file__).parents[2]

CONFTEST = """
from secrets_check import SecretsCheck

def pytest_configure(config):
    config.pluginmanager.register(SecretsCheck())
"""

LEAKS = """
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import asynccvat as ac
from memory_folders import in_memory
from asynccvat.simulator import SimulatedServer, SimulatorOptions

server = SimulatedServer(SimulatorOptions(tasks=0))
_, SESSION, CSRF = server.accounts.log_in(server.accounts.by_id[1])
TOKEN, PASSWORD = server.token, server.password

def test_leak_printed():
    print("my token is", TOKEN)

def test_leak_read_by_the_test(capsys):
    print(PASSWORD, file=sys.stderr)
    assert capsys.readouterr().err

def test_leak_of_a_command():
    command = [sys.executable, "-c", "import sys; print(sys.argv[1])", SESSION]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout

def test_leak_logged():
    logging.getLogger("asynccvat").debug("sent %s", CSRF)

def test_leak_logged_by_aiohttp():
    logging.getLogger("aiohttp.client").debug("Authorization: Token %s", TOKEN)

def test_leak_in_an_error():
    with pytest.raises(ac.ConfigError):
        raise ac.ConfigError(f"{PASSWORD} is wrong")

def test_leak_in_a_cause():
    with pytest.raises(ac.ConfigError):
        raise ac.ConfigError("wrong") from ValueError(TOKEN)

def test_leak_in_a_note():
    error = ac.ConfigError("wrong")
    error.add_note(TOKEN)
    with pytest.raises(ac.ConfigError):
        raise error

def test_leak_in_a_file(tmp_path):
    with open(tmp_path / "receipt.json", "w") as file:
        file.write(TOKEN)
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"]
    subprocess.run([*command, str(tmp_path / "report.json"), TOKEN], check=True)

def test_leak_in_memory():
    with in_memory() as folder, open(folder / "receipt.json", "w") as file:
        file.write(TOKEN)

@pytest.fixture(scope="module")
def place():
    with in_memory() as folder:
        yield folder

def test_leak_in_an_error_that_nobody_raises():
    outcome = {"error": ac.ConfigError(f"{PASSWORD} is wrong")}
    assert outcome["error"].task_id is None

def test_leak_in_a_long_file(tmp_path):
    with open(tmp_path / "events.jsonl", "w") as file:
        file.write(TOKEN + " " * (1 << 20))

def test_leak_in_our_own_folder(tmp_path):
    for folder in ("task1", ".asynccvat", "task2"):
        (tmp_path / folder).mkdir()
        for number in range(200):
            (tmp_path / folder / str(number)).touch()
    with open(tmp_path / ".asynccvat" / "lock", "w") as file:
        file.write(TOKEN)

def test_leak_of_an_access_token():
    print(server.create_access_token())

def test_leak_of_a_client_s_own():
    ac.CvatClient("https://cvat.example.com", username="bob", password="bobs-own-secret")
    print("bobs-own-secret")

@pytest.mark.shows_secrets("it is asked to")
def test_right_with_a_reason():
    print(TOKEN)

def test_right_input(tmp_path):
    (tmp_path / "server.yaml").write_text(f"password: {PASSWORD}")

def test_right_silent(capsys):
    print("no secret: 0123456789abcdef0123456789abcdef")
    capsys.readouterr()

def test_leak_in_a_folder_that_goes_with_the_last_test(place):
    with open(place / "receipt.json", "w") as file:
        file.write(TOKEN)
"""


@pytest.mark.shows_secrets("the pytest inside tells which secrets it found")
def test_a_test_that_shows_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(LEAKS)
    plugins = ["-p", "no:cacheprovider", "-p", "no:randomly"]
    command = ["-m", "pytest", "-rE", "-q", *plugins, f"--rootdir={tmp_path}"]
    ended = subprocess.run(
        [sys.executable, *command, f"--confcutdir={tmp_path}", tmp_path / "test_it.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "PATH": ""},
    )
    told = ended.stdout + ended.stderr
    wrong = set(re.findall(r"def (test_leak_\w+)", LEAKS))
    assert set(re.findall(r"^ERROR .*::(\w+)", told, re.MULTILINE)) == wrong, told
