-- The tables of the sample service. Loading this again changes nothing.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

-- The constraints have names because clients are told them: {"status": 409, "constraint": "contact_email_key", …}
CREATE TABLE IF NOT EXISTS contact (
    id serial PRIMARY KEY,
    firstname text,
    lastname text NOT NULL,
    phone text CONSTRAINT contact_phone_check CHECK (phone ~ '^[-+() 0-9]*$'),
    email text CONSTRAINT contact_email_key UNIQUE
        CONSTRAINT contact_email_check CHECK (email = '' OR email LIKE '%_@_%'),
    profile jsonb CONSTRAINT contact_profile_check CHECK (jsonb_typeof(profile) = 'object')
);

CREATE TABLE IF NOT EXISTS phone_call (
    id serial PRIMARY KEY,
    contact_id integer NOT NULL CONSTRAINT phone_call_contact_id_fkey REFERENCES contact ON DELETE CASCADE,
    started timestamptz NOT NULL DEFAULT now(),
    minutes integer NOT NULL CONSTRAINT phone_call_minutes_check CHECK (minutes >= 0),
    note text
);
CREATE INDEX IF NOT EXISTS phone_call_contact_id_idx ON phone_call (contact_id, started);

-- Makes one contact of two: what `keep` does not know is taken from `other`, whose calls it gets, too.
CREATE OR REPLACE FUNCTION merge_contacts(keep integer, other integer) RETURNS SETOF contact
LANGUAGE plpgsql STRICT AS $$
DECLARE
    gone contact;
BEGIN
    IF keep = other THEN
        RAISE EXCEPTION 'A contact cannot be merged with itself.';
    END IF;
    PERFORM FROM contact WHERE id = keep FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE phone_call SET contact_id = keep WHERE contact_id = other;
    DELETE FROM contact WHERE id = other RETURNING * INTO gone;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no contact % to merge with.', other USING ERRCODE = 'PT404';
    END IF;
    RETURN QUERY
        UPDATE contact
           SET firstname = coalesce(firstname, gone.firstname),
               phone = coalesce(phone, gone.phone),
               email = coalesce(email, gone.email)
         WHERE id = keep RETURNING *;
END
$$;

-- In the order of the keys in the avatar document, so that row_to_json gives the same object.
CREATE TABLE IF NOT EXISTS avatar (
    "createdAt" text NOT NULL,
    name text NOT NULL,
    avatar text NOT NULL,
    id text PRIMARY KEY
);
