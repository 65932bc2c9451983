"""A server on this machine that answers as S3 does."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import pytest


@contextmanager
def s3_bucket() -> Iterator[str]:
    """Yield the URL of a folder in an empty bucket, for which the environment has endpoint and keys."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -r requirements-s3.txt")
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install -r requirements-dev.txt")
    from s3fs import S3FileSystem

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "studio")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket = f"clips-{token_hex(8)}"  # moto keeps those of earlier servers in the same process
        S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        yield f"s3://{bucket}/studio"
    running.stop()
