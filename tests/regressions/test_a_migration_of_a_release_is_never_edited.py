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
    "projections/migrations/0021_shared_commits.sql": "59de9915d0ae356123fec22b7c1368450c345bef244966955370186dd7fbeb73",
    "projections/migrations/0022_rendered.sql": "3433a7ca55a8390c81ce7fa7ad30af667e94198d74c7394f23292ebbf3677135",
    "projections/migrations/0024_rendering_of_older_hosts.sql": "cb3ba95ecede4f38d9d07a63c7658d70a0075e2a2233d99c783b5b539e42797b",
    "projections/migrations/0026_renames.sql": "d893a9a72bad012335a63a62be6c1a79fbc548e105c71818e6e461245a352c43",
    "projections/migrations/0027_owners_tags.sql": "0b3c65b0dec0f3b53af0c3120b2fdc82f664dad28cd4f64b669fefd93d758ed9",
    "projections/migrations/0030_search.sql": "f199d50ef5e283ea2100e642abc0dc7b0727fef6cbd60aa8968b113dd75dc747",
    "projections/migrations/0033_git_labels.sql": "308cc24213ad83223b02ea95985c64be1eed5beeeafd9746dcc4153c7b74ab2b",
    "projections/migrations/0034_prompt_references.sql": "1d2c528efada2fde1b57f8e554fd95a104656519ac870650ed0a86176c1715da",
    "projections/migrations/0035_promotions.sql": "4753b3f8dbe249cfa2c4eca3a9120404c9fc49bcd06ca83d7b3e391dc0aafcb9",
    "store/migrations/0001_log.sql": "57590e7073db3028cad2a4e8086c14645325cfe8b12e6915fc54ac890bb36b38",
    "store/migrations/0002_identity.sql": "86b67003644109c25a289f76c8ff30d42fcc91c632e9cedd04553f61a583e2ff",
    "store/migrations/0006_webhooks.sql": "e05e67d3dd519a81a2e1600064a333d5e90f2b7999a5a08887dff9476349f9f5",
    "store/migrations/0008_webhook_requests.sql": "4a062b1b8903205f7334809b3680ae0c69ad1e185bd2329eb529ebaa7c8b0671",
    "store/migrations/0009_webhook_lanes.sql": "633a3bd287bb8eb1fde0afc2dc4a66eafe090814b760d3d1efee0c4f2937b029",
    "store/migrations/0012_shares.sql": "8c25a6c41468fc92292e4f3d4753505e1e5b3c0ec56b450c8b6bc3d829989747",
    "store/migrations/0016_follower_failures.sql": "ef4ddf222106fd24a5dc6ac7d88bc7e809f1decbe80c4fc071ff89db9a6ce625",
    "store/migrations/0020_webhook_totals.sql": "ff3dad7cd68d1e99644860a32b97402259b0d1cba862fca641c12f586a934b62",
    "store/migrations/0023_histories.sql": "9240f812e9e14f4ec6c8dafd86e5e428386c59b5d0673b196216d2807baef433",
    "store/migrations/0025_install_keys.sql": "3ceb0d16ea266f303dec4e8da28b78fb000c37c301c965dc315912fa5c437525",
    "store/migrations/0028_shares_of_a_label.sql": "177dc8ba3b44f120b1464bc965fa4f95cf6eb914737bc9ddec4836d09de80a69",
    "store/migrations/0029_unchanged_streams.sql": "d1fe7a1b3ee5588dc030c4bf61a5542988eadab5fca1a7ba55e87d6d5b0bf52c",
    "store/migrations/0031_usage.sql": "08084b3919fd6fcd4eae713468b502c9881fdacb450aac43c6e93e2fd2d16295",
    "store/migrations/0032_console_sessions.sql": "3c434b99c072422d8d761d7da7342d75214a0a01822c1b0ce17d040f3f839d22",
    "store/migrations/0036_home_settings.sql": "f3526e380781bd3707dd63287fe5a9956d88d27f72dc97f33cd15d9c77c18af4",
}


def test_released_migrations_are_as_they_were() -> None:
    assert {path: sha256((ROOT / path).read_bytes()).hexdigest() for path in RELEASED} == RELEASED
