"""Adapters on a model hub: found by `owner/name` or `owner/name@revision`, and uploaded with a generated card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mella_retrieval.adapters.adapter import CARD, CONFIG, WEIGHTS, Adapter
from mella_retrieval.adapters.leccr.slot_file import SLOTS
from mella_retrieval.encoders.hub import reaching_hub
from mella_retrieval.errors import HubError, MellaError

FILES = (CONFIG, WEIGHTS, CARD, SLOTS)
"""All that an adapter is made of; nothing else is fetched or uploaded."""

_NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[^\s@]+))?")


_OFFLINE = ", and the adapter is not in the cache; copy its folder here and give its path"


def adapter_folder(name: Path | str) -> Path:
    """The folder of an adapter, fetched from the hub (once; then it is in huggingface_hub's cache) if that is what is named.

    Args:
        name: a path; or `owner/name`, `owner/name@revision` on the hub, as text. A folder that is there goes first.

    Raises:
        HubError: the hub has no such adapter, or cannot be reached and the adapter is not in the cache.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) and not Path(name).exists() else None
    if found is None:
        return Path(name)
    repo, revision = found["repo"], found["revision"]
    with _asking_hub(f"there is no folder {name}, and no adapter of that name can be fetched", _OFFLINE):
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=list(FILES)))
    if not (folder / CONFIG).is_file():
        raise HubError(f"{name} on the model hub holds no adapter: it has no {CONFIG}.")
    return folder


def push(
    adapter: Adapter, folder: Path, name: str, card: str, *, private: bool | None = None, revision: str | None = None
) -> str:
    """Upload an adapter folder with another card as one commit; the repository is made if it is not there.

    Args:
        adapter: as it was loaded from `folder`, whose weights' hash was checked; its configuration is what is uploaded.
        folder: where its weights are.
        name: `owner/name`.
        card: the `README.md`.
        private: of a repository that is made; None leaves it to the hub.
        revision: branch; made from the main one if it is not there.

    Returns:
        The address of the commit.

    Raises:
        HubError: the name is none, the hub cannot be reached, or it refuses.
    """
    found = _NAME.fullmatch(name)
    if found is None or found["revision"]:
        raise HubError(f"{name!r} is no name on a model hub; write OWNER/NAME (and the branch as --revision).")
    parts = _contents(adapter, folder, card)
    with _asking_hub(f"{name} cannot be uploaded"):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        done = api.create_commit(
            name,
            [CommitOperationAdd(path_in_repo=file, path_or_fileobj=content) for file, content in parts.items()],
            commit_message=f"{adapter.config.method} adapter",
            revision=revision,
        )
    return str(done.commit_url)


def _contents(adapter: Adapter, folder: Path, card: str) -> dict[str, bytes | str]:
    """File name -> content, or the path of a file."""
    contents: dict[str, bytes | str] = {
        CONFIG: (json.dumps(adapter.config.to_json(), indent=2, ensure_ascii=False) + "\n").encode(),
        WEIGHTS: str(folder / WEIGHTS),
        CARD: card.encode(),
    }
    if adapter.slots is not None:
        contents[SLOTS] = adapter.slots.data
    return contents


@contextmanager
def _asking_hub(what: str, otherwise: str = "") -> Iterator[None]:
    """Run code that asks the hub (its cache alone where it does not answer); errors become one sentence that says how to go on.

    Raises:
        HubError: with `what` before the reason, and `otherwise` behind it where the hub cannot be reached.
    """
    from huggingface_hub import errors

    offline = f"the model hub cannot be reached{otherwise}"
    try:
        with reaching_hub() as answers:
            yield
    except MellaError:
        raise
    except errors.GatedRepoError as error:
        raise HubError(f"{what}: access must be asked for on its page; then log in with `hf auth login`.") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{what}: the repository has no such revision.") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(f"{what}: the hub has no such repository, or it is private: log in with `hf auth login`.") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise HubError(f"{what}: {offline}.") from error
    except errors.HfHubHTTPError as error:
        if getattr(error.response, "status_code", 0) in {401, 403}:
            raise HubError(f"{what}: the hub refuses; log in with `hf auth login`, with a token that may do this.") from error
        raise HubError(f"{what}: {_first_line(error)}.") from error
    except Exception as error:  # the library's HTTP client has errors of its own, under another name in each version
        raise HubError(f"{what}: {_first_line(error) if answers else offline}.") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")
