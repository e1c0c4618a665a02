-- A page of contacts.
SELECT id, lastname FROM contact
 WHERE id > :after
 ORDER BY id LIMIT :limit;
