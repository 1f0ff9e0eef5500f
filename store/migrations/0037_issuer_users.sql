-- People who sign in to the console at an OpenID Connect issuer, and the key that their sessions stand on. It goes when the user is erased.
CREATE TABLE issuer_users (
    -- SHA-256 of the issuer and of what it calls the person.
    subject bytea  NOT NULL,
    user_id bigint NOT NULL,
    -- NULL before there is a key.
    key_id  uuid,
    CONSTRAINT issuer_users_pkey PRIMARY KEY (subject)
);
CREATE INDEX issuer_users_user ON issuer_users (user_id);
