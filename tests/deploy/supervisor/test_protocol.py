"""The messages between commands and supervisors, and what two versions make of each other."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading

import pytest

from ocrpack.deploy.store.layout import Root
from ocrpack.deploy.supervisor import client, protocol
from ocrpack.deploy.supervisor.protocol import (
    Done,
    GenerationStatus,
    GetStatus,
    Launched,
    LaunchRelease,
    Poll,
    Settle,
    Settled,
    Stop,
    SupervisorError,
    SupervisorStatus,
)
from ocrpack.deploy.system.sockets import bind_unix, short_address
from ocrpack.errors import BootError, PreflightError
from tests.deploy.supervisor.fakes import launch

GENERATION = GenerationStatus(number=1, release="1.0-a", pid=5, started=1.5, alive=True, private="/run/s")
STATUS = SupervisorStatus(
    pid=4, host="::1", port=80, managed=False, serving=1, restarts=0, generations=(GENERATION,), protocol=2
)
LAUNCH = LaunchRelease(
    release="1.0-a", launch=launch(tokens=("T",), secrets=("T",), env={"A": "b"}), secrets={"T": "x"}
)


@pytest.mark.parametrize("request_", [GetStatus(protocol=2), LAUNCH, Poll(number=1), Settle(number=None), Stop()])
def test_requests_come_as_they_went(request_):
    assert protocol.decode_request(protocol.encode_request(request_)) == request_


@pytest.mark.parametrize("answer", [STATUS, Launched(number=1, pid=2, private="/p"), Settled(drained=(1, 2), forced=()),
                                    Done()])  # fmt: skip
def test_answers_come_as_they_went(answer):
    assert protocol.decode_answer(protocol.encode_answer(answer), type(answer)) == answer


def changed(request_, **fields):
    return json.dumps({**json.loads(protocol.encode_request(request_)), **fields}).encode()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (changed(LAUNCH, tint=1), "the command is newer than the supervisor: LaunchRelease has tint there alone"),
        (changed(LAUNCH, launch={**dataclasses.asdict(LAUNCH.launch), "gpu": 1}), "Launch has gpu there alone"),
        (b'{"do": "poll"}', "the supervisor is newer than the command: Poll has number there alone"),
        (b'{"do": "dance"}', "the command is newer than the supervisor, which knows no 'dance'"),
        (b'{"do": "poll", "number": "1"}', "sent a Poll that is none: '1' is not int"),
        (b'{"do": "poll", "number": true}', "True is not int"),
        (b"[]", "what is not an object"),
        (b"\xff", "what is not JSON"),
    ],
)
def test_a_request_of_another_version_tells_which_side_is_newer(line, message):
    with pytest.raises(SupervisorError, match=message):
        protocol.decode_request(line)


def test_the_greeting_is_readable_for_every_version():
    assert protocol.decode_request(b'{"do": "status"}') == GetStatus(protocol=1)
    assert protocol.decode_request(b'{"do": "status", "protocol": 9, "mood": 1}') == GetStatus(protocol=9)
    newer = {**dataclasses.asdict(STATUS), "mood": 1, "generations": [{**dataclasses.asdict(GENERATION), "mood": 1}]}
    assert protocol.decode_answer(json.dumps(newer).encode(), SupervisorStatus) == STATUS


@pytest.mark.parametrize("error", [BootError("no", "do that"), PreflightError("no", "do that")])
def test_a_refusal_keeps_its_kind_and_its_remedy(error):
    line = protocol.encode_answer(protocol.refusal(error))
    with pytest.raises(type(error)) as raised:
        protocol.decode_answer(line, Done)
    assert (type(raised.value), raised.value.message, raised.value.remedy) == (type(error), "no", "do that")


def test_a_refusal_of_0_1_points_to_the_supervisors_log():
    with pytest.raises(BootError) as raised:
        protocol.decode_answer(b'{"error": "\'name\'"}', Done)
    assert "supervisor.log" in raised.value.remedy


@contextlib.contextmanager
def supervised(folder, *answers):
    """Answer on a deployment's control socket, one connection, with these lines."""
    deployment = Root(folder).deployment("mini")
    deployment.control.parent.mkdir(parents=True, exist_ok=True)
    with short_address(deployment.control) as address:
        listener = bind_unix(address)

    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as lines:
            for answer in answers:
                lines.readline()
                lines.write(answer)
                lines.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield deployment
        thread.join()


def status_of(**fields):
    return json.dumps({**dataclasses.asdict(STATUS), **fields}).encode() + b"\n"


def test_a_newer_supervisor_is_left_alone(tmp_path):
    with (
        supervised(tmp_path, status_of(protocol=3)) as deployment,
        pytest.raises(SupervisorError, match="supervised by a newer ocrpack") as raised,
    ):
        client.connect(deployment)
    assert raised.value.remedy == "use the newer ocrpack for this deployment"


def test_an_older_supervisor_is_asked_for_nothing_but_its_status(tmp_path):
    line = status_of()
    older = json.dumps({name: value for name, value in json.loads(line).items() if name != "protocol"}).encode()
    with supervised(tmp_path, older + b"\n") as deployment, client.connect(deployment) as supervisor:
        assert supervisor.older
        with pytest.raises(SupervisorError, match="of an older ocrpack"):
            supervisor.promote(1)


@pytest.mark.parametrize("answers", [(), (b"",), (b'{"pid"',)])
def test_a_supervisor_that_ends_meanwhile_counts_as_none(tmp_path, answers):
    with supervised(tmp_path, *answers) as deployment:
        assert client.connect(deployment) is None


def test_an_answer_that_nobody_understands_is_no_missing_supervisor(tmp_path):
    with supervised(tmp_path, b'"well"\n') as deployment, pytest.raises(SupervisorError, match="not an object"):
        client.connect(deployment)
