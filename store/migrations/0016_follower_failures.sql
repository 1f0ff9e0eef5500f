-- Why a follower does not go on, and since when; both are NULL while it does.
ALTER TABLE checkpoints ADD COLUMN error text, ADD COLUMN failed_at timestamptz;
