"""What goes wrong: each fault is a function of the scene that brings it about and returns how the command ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.faults.bench import Bench


@dataclass(frozen=True)
class Scene:
    """Where a fault happens: a bench, the bundle that is to be deployed, and the phase."""

    bench: Bench
    bundle: Path
    phase: str
    words: tuple[str, ...] = ("deploy",)
    """The command that the fault meets; a deploy gets the bundle."""

    @property
    def command(self):
        return (*self.words, str(self.bundle)) if self.words[0] == "deploy" else self.words

    def in_phase(self, **options):
        return self.bench.in_phase(self.phase, *self.command, **options)


def signal_command(number):
    """Send a signal to the command in its phase."""

    def fault(scene):
        with scene.in_phase() as command:
            command.process.send_signal(number)
            time.sleep(0.2)
        return command.ran

    return fault


def die_at(event, arguments):
    """Let the command be killed when it is about to do a given thing."""
    return lambda scene: scene.bench.start(*scene.command, at=(event, arguments)).ran


def kill(kind):
    """Kill a process of the deployment while a command is in its phase, or when nothing goes on."""

    def fault(scene):
        if not scene.phase:
            _kill(scene.bench, kind)
            return None
        with scene.in_phase() as command:
            _kill(scene.bench, kind)
            time.sleep(0.1)
        return command.ran

    return fault


def _kill(bench, kind):
    pids = bench.find(kind)
    for pid in pids if kind == "worker of candidate" else pids[:1]:
        os.kill(pid, signal.SIGKILL)


def run(*options, env=None):
    """Run the command with a bundle, an option or an environment that is at fault."""
    return lambda scene: scene.bench.run(*scene.command, *options, env=env)


def altered(change):
    """Deploy the bundle after its bytes were changed."""

    def fault(scene):
        sound = scene.bundle.read_bytes()
        scene.bundle.write_bytes(change(sound))
        try:
            return scene.bench.run(*scene.command)
        finally:
            scene.bundle.write_bytes(sound)

    return fault


def full_disk_at(*event):
    """Fill the disk in the phase, or at an event in it; there is space again when the command has ended."""

    def fault(scene):
        filler = scene.bench.machine.root.parent / "filler"
        try:
            with scene.in_phase(at=event or None) as command:
                _fill(filler)
            return command.ran
        finally:
            filler.unlink()

    return fault


def _fill(file):
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while filler.write(bytes(size)) == size:
                    pass
    assert shutil.disk_usage(file.parent).free == 0


def read_only(scene):
    """Make the root read-only while the command runs; what is open stays open."""
    root = str(scene.bench.machine.root)
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        return scene.bench.run(*scene.command)
    finally:
        subprocess.run(["umount", root], check=True)


def port_taken(scene):
    """Let another process listen on the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", scene.bench.machine.port))
        other.listen()
        return scene.bench.run(*scene.command)


def second_command(*words):
    """Run another command while one is in its phase; both must end well, or the other finds the lock held."""

    def fault(scene):
        mine = tuple(str(scene.bundle) if word == "BUNDLE" else word for word in words)
        with scene.in_phase() as first:
            second = scene.bench.start(*mine)
            if "--lock-wait" in words:
                time.sleep(1)
                assert second.process.poll() is None, "it did not wait"
            else:
                assert second.ran.status != 0, "the lock did not hold it back"
        assert first.ran.status == 0, first.ran
        return second.ran

    return fault


def reboot(change):
    """Kill everything, change the identities that the processes left on disk, and start the service again."""

    def fault(scene):
        bench = scene.bench
        assert bench.run("restart", "mini").status == 0  # so that the generation is not the first of its supervisor
        bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            for pid in bench.machine.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            bench.machine.wait(lambda: not bench.machine.processes())
            files = list(bench.folder.glob("run/generation-*/generation.json"))
            assert files
            for file in files:
                found = json.loads(file.read_text())
                for role in ("master", "writer"):
                    found[role] = change(found[role], bystander.pid)
                file.write_text(json.dumps(found))
            ran = bench.run("start", "mini")
            assert bystander.poll() is None, "a process that is not ours was killed"
            return ran
        finally:
            bystander.kill()
            bystander.wait()

    return fault


def clock(seconds):
    """Let the wall clock jump while the command is in its phase."""

    def fault(scene):
        file = scene.bench.machine.folder / "clock"
        before = int(file.read_text()) if file.exists() else 0
        with scene.in_phase() as command:
            file.write_text(str(before + seconds))
        ran = command.ran
        last = datetime.fromisoformat(scene.bench.events()[-1]["time"])
        assert abs(last.timestamp() - time.time() - before - seconds) < 60, "the clock did not jump"
        return ran

    return fault


def damaged_state(text):
    """Deploy over a state.json that a fault left; the state is put back afterwards."""

    def fault(scene):
        state = scene.bench.folder / "state.json"
        sound = state.read_bytes()
        state.write_text(text(sound.decode()))
        try:
            assert scene.bench.status().state == "damaged"
            return scene.bench.run(*scene.command)
        finally:
            state.write_bytes(sound)

    return fault


def cut_journal(scene):
    """Deploy after a crash cut the journal's last line."""
    with (scene.bench.folder / "logs" / "deploy.jsonl").open("a") as journal:
        journal.write('{"time":"2026-01-01T00:00:00.000Z","deploy":"20260101T0')
    return scene.bench.run(*scene.command)


def same_version(text):
    """Deploy a bundle, and then one of the same version that reads as `text`."""

    def fault(scene):
        assert scene.bench.run(*scene.command).status == 0
        version = scene.bundle.stem.partition("-")[2]
        again = scene.bench.bundle(version=version, summary=text)
        return scene.bench.run("deploy", again)

    return fault


def ledger_locked(scene):
    """Leave a lock file where git wants to write the version's tag, as a killed git does."""
    version = scene.bundle.stem.partition("-")[2]
    lock = scene.bench.machine.root / "ledger" / "refs" / "tags" / "mini" / f"v{version}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    try:
        return scene.bench.run(*scene.command)
    finally:
        lock.unlink()


def tag_taken(scene):
    """Put the version's tag on something else."""
    version = scene.bundle.stem.partition("-")[2]
    ledger = scene.bench.machine.root / "ledger"
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    git = ["git", "-C", str(ledger), *identity, "tag"]
    subprocess.run([*git, "-a", f"mini/v{version}", "-m", "another"], check=True)
    try:
        return scene.bench.run(*scene.command)
    finally:
        subprocess.run([*git, "-d", f"mini/v{version}"], check=True, capture_output=True)


def secret_kept(scene):
    """Kill a deploy that brought a new secret in its drain, restart, and ask the app for the secret."""
    with scene.in_phase(env={"OCR_TOKEN": "new"}) as command:
        command.process.kill()
    assert command.ran.status == -signal.SIGKILL
    ran = scene.bench.run("restart", "mini")
    assert scene.bench.machine.get("/readyz")["token"] == "new"
    return ran


def hook(name, script):
    """Put an executable hook into the root for as long as the command runs."""

    def fault(scene):
        hooks = scene.bench.machine.root / "hooks"
        hooks.mkdir()
        (hooks / name).write_text(f"#!/bin/sh\n{script}\n")
        (hooks / name).chmod(0o755)
        try:
            return scene.bench.run(*scene.command)
        finally:
            shutil.rmtree(hooks)

    return fault


def replaced_workers(scene):
    """Deploy, and wait until every worker was replaced by a fresh one."""
    ran = scene.bench.run(*scene.command)
    first = set(scene.bench.find("worker"))
    scene.bench.machine.wait(lambda: not first & set(scene.bench.find("worker")))
    return ran
