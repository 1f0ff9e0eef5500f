"""The ``eventsourcing`` library's settings for a follower of the log."""

from psycopg.conninfo import conninfo_to_dict


def environment(url: str, *, view_url: str = "", **more: str) -> dict[str, str]:
    """To follow the log at ``url``, with the follower's own tables at ``view_url``, or beside the log."""
    view = conninfo_to_dict(view_url or url)
    return {
        "PERSISTENCE_MODULE": "store.eventsourcing",
        "SKALD_DATABASE_URL": url,
        "POSTGRES_HOST": str(view["host"]),
        "POSTGRES_PORT": str(view.get("port", 5432)),
        "POSTGRES_DBNAME": str(view["dbname"]),
        "POSTGRES_USER": str(view["user"]),
        # The library wants one; the servers of the tests ask for none.
        "POSTGRES_PASSWORD": str(view.get("password", "")),
        **more,
    }
