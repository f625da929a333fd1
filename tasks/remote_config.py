"""The section [remote]: how stores at URLs are reached."""

import luigi

from pipeline.publish.remote import check_form
from pipeline.publish.settings import RemoteSettings
from tasks.runtime.parameters import FloatParameter, IntParameter

_SETTINGS = RemoteSettings()


class UrlParameter(luigi.Parameter[str]):
    """A URL of a store, or nothing. One with credentials in it is refused before Luigi prints it anywhere."""

    def normalize(self, x: str) -> str:
        """Return the URL.

        Raises:
            UserError: it is of an unknown kind, or has credentials in it.
        """
        if x:
            check_form(x)
        return x


class remote(luigi.Config):
    """How PublishDataset and FetchDataset reach a URL. Credentials are not set here; see docs/how-to/publish.md."""

    url: str = UrlParameter(
        default="", description="where PublishDataset publishes to, s3://bucket/folder; empty: --url says it"
    )
    endpoint_url: str = luigi.Parameter(
        default="",
        description="URL of a server that speaks S3, such as MinIO; empty: Amazon's, or what the environment says",
    )
    connections: int = IntParameter(
        default=_SETTINGS.connections, at_least=1, description="files that are sent or fetched at once"
    )
    timeout_s: float = FloatParameter(
        default=_SETTINGS.timeout_s,
        above=0,
        description="a connection that is silent for so many seconds counts as broken",
    )
    cache_gb: float = FloatParameter(
        default=0.0,
        at_least=0,
        description="largest size of the cache of shards that fetched selections read, GB; 0: no limit but the disk",
    )

    def settings(self) -> RemoteSettings:
        """Return the section as `pipeline.publish` takes it."""
        return RemoteSettings(
            connections=self.connections,
            timeout_s=self.timeout_s,
            endpoint_url=self.endpoint_url,
            cache_bytes=int(self.cache_gb * 1e9),
        )
