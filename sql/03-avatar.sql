-- The rows of the avatar document. Loading this again adds the rows that are missing and changes none.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

INSERT INTO avatar ("createdAt", name, avatar, id)
SELECT "createdAt", name,
       'https://cloudflare-ipfs.com/ipfs/Qmd3W5DuhgHirLHGVixi6V76LhCkZUz6pnFt5AJBiyvHye/avatar/' || image || '.jpg',
       id
  FROM (VALUES
    ('1', '2023-04-21T12:40:19.925Z', 'BillyStoltenberg', 1164),
    ('2', '2022-11-05T09:01:38.207Z', 'JodiKertzmann', 502),
    ('3', '2022-11-05T15:36:31.390Z', 'AngelKuhlmanIV', 75),
    ('4', '2022-11-04T19:23:42.344Z', 'KellyNolan', 787),
    ('5', '2022-11-05T06:33:55.777Z', 'JeremySchneider', 1153),
    ('6', '2022-11-05T07:29:47.957Z', 'EvanDuBuque', 99),
    ('7', '2022-12-01T10:43:35.133Z', 'DeloresDoyle', 331),
    ('8', '2022-12-01T22:53:22.031Z', 'Ms.JeremyBruen', 383),
    ('9', '2022-12-02T00:59:05.444Z', 'JoannRitchie', 130),
    ('10', '2022-12-01T21:37:21.680Z', 'Mrs.StevenCummerata', 771),
    ('11', '2022-12-02T09:01:39.388Z', 'HattiePfeffer', 1005),
    ('12', '2022-12-01T10:11:38.831Z', 'EdithMacejkovic', 882),
    ('13', '2022-12-02T08:34:12.087Z', 'BettyBlock', 216),
    ('14', '2022-12-02T06:56:11.901Z', 'ArmandoBecker', 822),
    ('15', '2022-12-01T17:22:36.489Z', 'MargueriteWilliamson', 205),
    ('16', '2022-12-02T02:59:48.845Z', 'LorenePaucek', 31),
    ('17', '2022-12-01T22:23:37.039Z', 'TonyaHeidenreich', 685),
    ('18', '2022-12-01T15:55:35.929Z', 'MissAntoniaReynolds', 208),
    ('19', '2022-12-01T14:15:27.068Z', 'Ms.GlendaSchimmel', 145),
    ('20', '2022-12-01T17:29:53.880Z', 'JodySchadenDDS', 35)
) AS row (id, "createdAt", name, image)
    ON CONFLICT (id) DO NOTHING;

ANALYZE avatar;
