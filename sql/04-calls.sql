-- Some phone calls and a profile, for the routes that answer nested JSON. Loading this again adds the calls that
-- are missing and changes nothing else.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

INSERT INTO phone_call (id, contact_id, started, minutes, note) VALUES
    (1, 1, '2024-02-29 09:30+00', 12, 'Wants the new price list'),
    (2, 1, '2024-03-04 14:05+00', 3, NULL),
    (3, 2, '2024-03-04 16:20+00', 45, 'Agreed: "net 30"'),
    (4, 8, '2024-03-05 08:00+00', 0, 'No answer 🦊')
ON CONFLICT (id) DO NOTHING;

DO $$
BEGIN
    PERFORM setval('phone_call_id_seq',
                   greatest((SELECT max(id) FROM phone_call), (SELECT last_value FROM phone_call_id_seq)));
END
$$;

UPDATE contact SET profile = '{"language": "en-GB", "newsletter": true, "tags": ["customer", "london"]}'
 WHERE id = 1 AND profile IS NULL;

ANALYZE phone_call;
