"""Files of a data set repository on the hub.

huggingface_hub finds the commit of a file and logs in; its own download starts over when its process was killed, so the
bytes come through the loop of `downloads`, which goes on where it was cut.
"""

from __future__ import annotations

import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import atomic_write, sha256_file, writer_lock
from mella_retrieval.data.downloads import (
    PATIENCE,
    TRANSIENT,
    Download,
    Downloaded,
    Patience,
    Progress,
    TryAgain,
    patiently,
    reason,
)
from mella_retrieval.encoders.hub import reaching_hub
from mella_retrieval.errors import DataError, HubError


def fetch_from_hub(
    repository: str,
    file: str,
    path: Path | str,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
    locked: bool = False,
) -> Downloaded:
    """Download a file of a data set repository on the hub; where the hub does not answer, take it from its cache.

    Args:
        repository: `OWNER/NAME`.
        file: its path in the repository.
        path, sha256, progress, patience, locked: as in `fetch`.
        revision: commit, tag or branch; None: the main branch.

    Raises:
        HubError: no such repository, revision or file, no access, or the hub cannot be reached and the cache has no copy.
        DataError, LockedError: as in `fetch`.
    """
    path = Path(path).absolute()
    with nullcontext() if locked else writer_lock(path.parent), reaching_hub() as answers:
        if not answers:
            return _from_cache(repository, file, path, revision, sha256)
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        metadata = patiently(patience, lambda: _ask_hub(repository, file, revision))
        etag, commit = str(metadata.etag or ""), str(metadata.commit_hash or "")
        if re.fullmatch(r"[0-9a-f]{64}", etag) and sha256 is None:  # of a large file, the hub's name is the hash
            sha256 = etag
        url = hf_hub_url(repository, file, repo_type="dataset", revision=commit or revision)
        headers = {name: value for name, value in build_hf_headers().items() if isinstance(value, str)}
        download = Download(url, path, metadata.size, sha256, patience, headers, fixed=bool(commit))
        done = download.run(progress)
        return Downloaded(done.sha256, done.bytes, etag, commit)


def _ask_hub(repository: str, file: str, revision: str | None) -> Any:
    """The commit, ETag and size of a file; raises TryAgain where the hub is busy."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    what = f"{file} of the data set {repository} cannot be fetched"
    try:
        return get_hf_file_metadata(hf_hub_url(repository, file, repo_type="dataset", revision=revision))
    except errors.GatedRepoError as error:
        raise HubError(f"{what}: access must be asked for on its page; then log in with `hf auth login`.") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{what}: the repository has no revision {revision}.") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(f"{what}: the hub has no such repository, or it is private: log in with `hf auth login`.") from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{what}: the repository has no such file at revision {revision or 'main'}.") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in TRANSIENT or status >= 500:
            raise TryAgain(f"{what}: the hub answers with status {status}") from error
        raise HubError(f"{what}: {reason(error)}.") from error
    except errors.HFValidationError as error:
        raise HubError(f"{what}: {reason(error)}") from error
    except Exception as error:  # the library's HTTP client has errors of its own, under another name in each version
        raise TryAgain(f"{what}: {reason(error)}") from error


def _from_cache(repository: str, file: str, path: Path, revision: str | None, sha256: str | None) -> Downloaded:
    """A copy out of huggingface_hub's cache, where somebody fetched the file before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, repo_type="dataset", revision=revision)
    if not isinstance(found, str):
        raise HubError(
            f"{file} of the data set {repository} cannot be fetched: the hub cannot be reached, and its cache has no copy. Fetch "
            f"it on another machine (`hf download {repository} {file} --repo-type dataset`) and put it to {path}."
        )
    cached = Path(found)
    content = sha256_file(cached)
    if sha256 is not None and content != sha256:
        raise DataError(f"{cached} is not the file that was expected: SHA-256 {content} instead of {sha256}.")
    with cached.open("rb") as source, atomic_write(path) as target:
        shutil.copyfileobj(source, target)
    parts = cached.parts
    commit = parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""
    return Downloaded(content, path.stat().st_size, "", commit)
