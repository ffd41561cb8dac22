"""Wrong use: exit code 2 and one line that names what is wrong."""

import socket

import pytest

from scheduler.cli import app


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("dmeo", "dmeo"),
        ("--verbose", "--verbose"),
        ("demo --accounts 0", "--accounts"),
        ("demo --accounts 21", "--accounts"),
        ("demo --accounts two", "--accounts"),
        ("demo --accounts", "--accounts"),
        ("demo --requests 0", "--requests"),
        ("demo --requests 101", "--requests"),
        ("demo --seed 1.5", "--seed"),
        ("demo --naive-retries -1", "--naive-retries"),
        ("demo --speed 3", "--speed"),
        ("demo twice", "twice"),
        ("simulate --port 65536", "--port"),
        ("simulate --port http", "--port"),
        ("simulate --key-type dsa", "--key-type"),
        ("simulate --scenario no_such", "no_such"),
        ("simulate --scenario no_such.toml", "no_such.toml"),
        ("simulate --fault lost_after", "--fault"),
        ("simulate --fault no_such=0.1", "no_such"),
        ("simulate --fault lost_after=often", "lost_after=often"),
        ("simulate --fault lost_after=-0.1", "--fault"),
        ("simulate --fault lost_after=0.6 --fault late=0.6", "--fault"),
        ("simulate --fault lost_after=nan", "--fault"),
        ("simulate --read-fault 503_before=2", "--read-fault"),
        ("simulate --processing-ms soon", "--processing-ms"),
        ("simulate --processing-ms -1", "--processing-ms"),
        ("simulate --processing-ms nan", "--processing-ms"),
        ("simulate --processing-ms inf", "--processing-ms"),
        ("simulate --record-lag-ms 5,inf", "--record-lag-ms"),
        ("simulate --record-lag-ms -5,5", "--record-lag-ms"),
        ('simulate --weights {"a":-1}', "--weights"),
        ("simulate --uid-weight-limit 1.5", "--uid-weight-limit"),
        ("simulate --answers never", "--answers"),
        ("simulate --record-lag-ms 500,50", "--record-lag-ms"),
        ("simulate --record-lag-ms 1,2,3", "--record-lag-ms"),
        ("simulate --credit NaN", "--credit"),
        ("simulate --credit -5", "--credit"),
        ("simulate --weights 5", "--weights"),
        ('simulate --weights {"a":"b"}', "--weights"),
        ('simulate --fault-status {"x":500}', "--fault-status"),
        ("simulate --assets BTC,,ETH", "--assets"),
    ],
)
def test_one_line_on_standard_error(
    capsys: pytest.CaptureFixture[str], line: str, named: str
) -> None:
    assert app.run(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("margin-scheduler: ")
    assert named in captured.err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.run(["simulate", "--port", str(port)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"margin-scheduler: --port: 127.0.0.1:{port}: ")
    assert captured.err.count("\n") == 1
