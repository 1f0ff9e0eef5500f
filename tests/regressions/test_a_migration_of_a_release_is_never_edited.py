"""A migration that was applied must stay as it was, comments too: `skald migrate` refuses a database that had another one."""

from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Of the migrations that a release has brought. Add a line with each; never change one.
RELEASED = {
    "projections/migrations/0003_read_models.sql": "50addf3178d3f43a8191937c64b2c70550386efa4877304e03fa11e11d43b799",
    "projections/migrations/0004_history.sql": "02eec0f0c6550f40aeac2a15810d209bbbb88f0ce5ce4ca788b51d5ba612b7c1",
    "projections/migrations/0005_version_order.sql": "21ad24cfbfd4d044ce7ebae4d0d9b71ed1f2cbf94000f7d66cc8222a83f472e1",
    "projections/migrations/0007_archived.sql": "7b11ff34b2e74a9fad513fa2917c98c3ed5a05cdbf66fd162156ef4464d5e807",
    "projections/migrations/0010_packages.sql": "2fdefd7feb1b1092330ae64c109bd40a41e1f76727a750e1d2f13d81a1ab8c33",
    "projections/migrations/0011_git.sql": "3c4f63227276b8cbd9031da3183cec5ac461eb65e1e5da4c8148e181628091aa",
    "projections/migrations/0013_search_pending.sql": "2fd528e01c33aa82194edfce1818fde0fe39345fc83448ed9ddf5b7795c09140",
    "projections/migrations/0014_fewer_indexes.sql": "34d451240c326c8180a115a13c8622e17c7f2b98c6701d9bd182ce59321344b3",
    "projections/migrations/0015_served_paths.sql": "147bdfef7b3ba96009a79879be87b9db80b6fa6551b8c8d05e0addc329e4fa08",
    "projections/migrations/0017_git_attributes.sql": "7f765ac51c1a21477c3ebab8fffe8649a672c691f5b61bf0e435141f0554a235",
    "projections/migrations/0018_activity.sql": "208ad6a4d3a14482d4caca17f9e68ddcf7bc1aba6c9870b97ee1498770675160",
    "projections/migrations/0019_rendering.sql": "fe0f689d4ac360a517ab278a1789b0e4e4b08ec935cc3a730af4c4f4fc30220a",
    "store/migrations/0001_log.sql": "57590e7073db3028cad2a4e8086c14645325cfe8b12e6915fc54ac890bb36b38",
    "store/migrations/0002_identity.sql": "86b67003644109c25a289f76c8ff30d42fcc91c632e9cedd04553f61a583e2ff",
    "store/migrations/0006_webhooks.sql": "e05e67d3dd519a81a2e1600064a333d5e90f2b7999a5a08887dff9476349f9f5",
    "store/migrations/0008_webhook_requests.sql": "4a062b1b8903205f7334809b3680ae0c69ad1e185bd2329eb529ebaa7c8b0671",
    "store/migrations/0009_webhook_lanes.sql": "633a3bd287bb8eb1fde0afc2dc4a66eafe090814b760d3d1efee0c4f2937b029",
    "store/migrations/0012_shares.sql": "8c25a6c41468fc92292e4f3d4753505e1e5b3c0ec56b450c8b6bc3d829989747",
    "store/migrations/0016_follower_failures.sql": "ef4ddf222106fd24a5dc6ac7d88bc7e809f1decbe80c4fc071ff89db9a6ce625",
}


def test_released_migrations_are_as_they_were() -> None:
    assert {path: sha256((ROOT / path).read_bytes()).hexdigest() for path in RELEASED} == RELEASED
