"""`python -m flows.server`: Prefect's server as `prefect server start` has it, with a guard against foreign pages."""

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_CORS_ALLOWED_ORIGINS, get_current_settings
from prefect.settings.context import temporary_settings

from flows.guard import Guard, own


def main() -> None:
    """Serve until stopped.

    `PREFECT_SERVER_CORS_ALLOWED_ORIGINS` names the pages besides its own that the server answers to, with their hosts.
    """
    server = get_current_settings().server
    address = server.api
    names = own(address.host, address.port, address.cors_allowed_origins.split(","))
    with temporary_settings({PREFECT_SERVER_CORS_ALLOWED_ORIGINS: ",".join(sorted(names.origins))}):
        app = create_app(final=True)
        app.add_middleware(Guard, own=names)
        uvicorn.run(
            app,
            host=address.host,
            port=address.port,
            timeout_keep_alive=address.keepalive_timeout,
            log_level=server.logging_level.lower(),
        )


if __name__ == "__main__":
    main()
