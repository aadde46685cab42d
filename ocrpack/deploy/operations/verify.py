"""Check a deployment: its files, its environment, its health, and its samples."""

from __future__ import annotations

from ocrpack.deploy.proof import health
from ocrpack.deploy.proof.app_client import public
from ocrpack.deploy.proof.samples import SampleResult, run_sample
from ocrpack.deploy.steps.promote import current_release
from ocrpack.deploy.store import environments, releases, secrets_file
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.store.state import Record
from ocrpack.deploy.supervisor.status import status
from ocrpack.errors import BundleError, Finding, NotFoundError, OcrpackError, Where


def verify(deployment: Deployment) -> tuple[list[Finding], tuple[SampleResult, ...]]:
    """Check files, environment, health and samples of a deployment; no findings mean that all is sound.

    Raises:
        NotFoundError: nothing was ever deployed.
    """
    try:
        name, record, descriptor, folder = current_release(deployment)
    except (OcrpackError, OSError) as error:
        if isinstance(error, NotFoundError):
            raise
        return [Finding("descriptor", str(error), "deploy the bundle again")], ()
    findings = releases.find_alterations(folder)
    try:
        if releases.read_manifest(folder).digest != record.digest:
            text = f"{name} is not the bundle that was deployed"
            findings.append(Finding("manifest", text, "deploy the bundle again", Where(str(folder))))
    except BundleError:
        pass  # `find_alterations` has told it
    findings += _environment_findings(deployment, record)
    now = status(deployment)
    if now.state != "running":
        text = f"{deployment.name} is {now.state}"
        return [*findings, Finding("not-running", text, f"`ocrpack start {deployment.name}`")], ()
    state = deployment.load_state()
    known = secrets_file.load(deployment.secrets, record.launch.secrets)
    address = public(record.launch, known, state.host, state.port)
    findings += health.health(address, descriptor)
    samples = tuple(run_sample(address, descriptor, folder, sample) for sample in descriptor.samples)
    findings += [sample.finding for sample in samples if sample.finding is not None]
    return findings, samples


def _environment_findings(deployment: Deployment, record: Record) -> list[Finding]:
    made = environments.find(Root(deployment.root), record.environment)
    if made is None:
        text = f"the environment {record.environment} is gone or unfinished"
        return [Finding("environment", text, "deploy the bundle again")]
    return environments.find_damage(made)
