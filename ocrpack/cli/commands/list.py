"""`ocrpack list`: list the releases on this machine."""

from __future__ import annotations

from ocrpack.cli import console
from ocrpack.cli.common import Json, Name, Quiet, RootFolder, find_root


def command(name: Name = None, root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
    """List the releases that the root holds, failed ones too, with the disk that each takes alone.

    Example: ocrpack list
    """
    from ocrpack.deploy.store import listing

    place = find_root(root)
    found = listing.releases(place, [place.find(name).name] if name is not None else place.names())
    if json:
        console.print_json({"releases": [one.as_dict() for one in found]})
    elif found:
        columns = ["NAME", "VERSION", "DIGEST", "STANDING", "PROMOTED", "SIZE"]
        console.table(
            columns,
            [
                [one.name, one.version, one.digest[:12], one.standing, one.promoted or "-", console.size(one.bytes)]
                for one in found
            ],
        )
    else:
        console.say(f"nothing is deployed in {place.path}", quiet=quiet)
