-- The tables of the sample service. Loading this again changes nothing.

SET client_encoding = 'UTF8';

CREATE TABLE IF NOT EXISTS contact (
    id serial PRIMARY KEY,
    firstname text,
    lastname text NOT NULL,
    phone text,
    email text
);

-- In the order of the keys in the avatar document, so that row_to_json gives the same object.
CREATE TABLE IF NOT EXISTS avatar (
    "createdAt" text NOT NULL,
    name text NOT NULL,
    avatar text NOT NULL,
    id text PRIMARY KEY
);
