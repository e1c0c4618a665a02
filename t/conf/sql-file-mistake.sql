SELECT id
  FROM contact -- all
 WHERE id = :id
   AND name = "open
