-- 10,000 contacts, the same on every machine: nine written out because tests and examples rely on them,
-- the others made from the lists below by arithmetic on their id. Loading this again adds the contacts that
-- are missing and leaves those that are there as they are.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

INSERT INTO contact (id, firstname, lastname, phone, email) VALUES
    (1, 'Emma', 'Walker', '+44 20 7946 0101', 'emma.walker@example.org'),
    (2, 'Siobhán', 'O''Brien', '+353 20 910 0002', 'siobhan.obrien@example.org'),
    (3, 'Niccolò', 'D''Angelo', '+39 06 5550 0003', 'niccolo.dangelo@example.org'),
    (4, NULL, 'Ångström', '+46 8 465 004 04', 'angstrom@example.org'),
    (5, 'Jürgen', 'Weiß', NULL, 'juergen.weiss@example.org'),
    (6, '陽菜', '佐藤', '+81 3 5550 0006', NULL),
    (7, NULL, 'Prince', NULL, NULL),
    (8, 'Zoë "Zip" 🦊', 'O''Neil \ 𠮷田', '+1 (212) 555-0108', '"zoe\"zip"@example.org'),
    (9, '', 'Nobody', '', '')
ON CONFLICT (id) DO NOTHING;

-- "name=form" gives the form that a name not made of plain Latin letters takes in an e-mail address.
-- A phone number is the prefix and so many digits; the ranges are those set aside for fiction where there
-- are such.
WITH region (n, firstnames, lastnames, prefix, digits) AS (VALUES
    (0, '{Olivia,Amelia,Harry,Grace,George,Isla,Thomas,Charlotte,Edward,Beatrice,Oliver,Florence}'::text[],
        '{Smith,Taylor,Hughes,Edwards,Green,Clarke,Wright,Robinson,Thompson,Baker,Ashworth-Cole,Price}'::text[],
        '+44 20 7946 0', 3),
    (1, '{Siobhán,Aoife,Niamh,Pádraig,Seán,Ciarán,Róisín,Eoin,Gráinne,Oisín}',
        '{O''Brien,O''Sullivan,Murphy,Ní Dhomhnaill,Mac Gabhann,O''Connor,Byrne,Ó Súilleabháin,Kelly,Doyle}',
        '+353 20 91', 5),
    (2, '{Zoé,Chloé,Éléonore,François,Benoît,Jérôme,Anaïs,Gaël,Jean-Noël,Hélène}',
        '{L''Hermitte,Lefèvre,D''Aboville,Moreau,Bélanger,Côté,Dubois,de La Fontaine,Gérard,Çelik-Roux}',
        '+33 1 99 00 ', 4),
    (3, '{Jürgen,Käthe,Björn,Sören,Anneliese,Günter,Lena,Matthias,Ulrike,Jörg}',
        '{Müller,Schröder,Weiß=weiss,Großmann=grossmann,Jäger,Köhler,Schäfer,von der Heide,Krüger,Fuchs}',
        '+49 30 23125 ', 3),
    (4, '{José,María,Íñigo,Ángela,Raúl,Lucía,Andrés,Begoña,Óscar,Nuria}',
        '{García,Núñez,Muñoz,Fernández,Ibáñez,Peña,de la Cruz,Gómez,Sáenz,Ortega}',
        '+34 910 00 ', 4),
    (5, '{Niccolò,Gabriele,Chiara,Giosuè,Ludovica,Matteo,Federica,Noè,Sofia,Alessandro}',
        '{D''Angelo,Dell''Acqua,Rossi,D''Amico,Bianchi,Esposito,Ricci,De Luca,Pellicanò,Gallo}',
        '+39 06 5550 ', 4),
    (6, '{João,Conceição,António,Inês,Tomás,Beatriz,Gonçalo,Luísa,Sebastião,Débora}',
        '{Gonçalves,Simões,Araújo,Magalhães,da Silva,Brandão,Assunção,Leitão,Pereira,Guimarães}',
        '+351 21 000 ', 4),
    (7, '{Łukasz,Małgorzata,Paweł,Agnieszka,Świętosława,Zbigniew,Jakub,Żaneta,Michał,Grażyna}',
        '{Nowak,Wójcik,Kowalczyk,Mazur,Krawczyk,Dąbrowa,Zając,Król,Wróbel,Gołąb}',
        '+48 22 500 ', 4),
    (8, '{Jiří,Tomáš,Zdeněk,Matěj,Ondřej,Radek,Luboš,Vojtěch,Petr,Břetislav}',
        '{Dvořák,Novák,Černý,Růžička,Kučera,Říha,Šťastný,Hájek,Beneš,Veselý}',
        '+420 222 00', 4),
    (9, '{Åsa,Øystein,Jóhanna,Søren,Märta,Guðrún,Håkon,Björk,Þór=thor,Väinö}',
        '{Ångström,Østergård,Jónsdóttir,Sørensen,Häkkinen,Lindqvist,Bjørnson,Nygård,Þorsteinsson=thorsteinsson,Mäkelä}',
        '+46 8 465 004 ', 2),
    (10, '{Çağla,Şule,İbrahim,Gülşen,Oğuz,Özge,Işıl,Tuğba,Emre,Deniz}',
        '{Yıldız,Öztürk,Şahin,Çelik,Kılıç,Doğan,Aydın,Güneş,Koç,Erdoğdu}',
        '+90 212 555 ', 4),
    (11, '{Minh,Hương=huong,Đức=duc,Tuấn=tuan,Thảo=thao,Quỳnh=quynh,Long,Phượng=phuong}',
        '{Nguyễn=nguyen,Trần=tran,Lê,Phạm=pham,Đặng=dang,Bùi,Đỗ=do,Hồ=ho,Võ=vo,Dương=duong}',
        '+84 24 5550 ', 4),
    (12, '{Юлия=yulia,Анна=anna,Фёдор=fyodor,Сергей=sergei,Наталья=natalia,Дмитрий=dmitri,Ольга=olga,Їжак=yizhak}',
        '{Шевченко=shevchenko,Коваленко=kovalenko,Ткаченко=tkachenko,Мельник=melnyk,Гончар=honchar,Черных=chernykh}',
        '+380 44 500 ', 4),
    (13, '{Γιώργος=giorgos,Ελένη=eleni,Κωνσταντίνος=konstantinos,Μαρία=maria,Νίκος=nikos,Σοφία=sofia}',
        '{Αντωνίου=antoniou,Γεωργίου=georgiou,Οικονόμου=ikonomou,Ιωάννου=ioannou,Βασιλείου=vasiliou}',
        '+30 21 5550 ', 4),
    (14, '{محمد=mohammed,فاطمة=fatima,يوسف=yousef,ليلى=layla,عمر=omar,مريم=maryam,خالد=khaled,نور=nour}',
        '{الحسن=alhassan,المصري=almasri,حداد=haddad,الخطيب=alkhatib,منصور=mansour,النجار=alnajjar}',
        '+20 2 2555 ', 4),
    (15, '{נועה=noa,דוד=david,תמר=tamar,יונתן=yonatan,שירה=shira,אבי=avi}',
        '{כהן=cohen,לוי=levi,מזרחי=mizrahi,פרידמן=friedman,ביטון=biton,אברהם=avraham}',
        '+972 2 555 ', 4),
    (16, '{प्रिया=priya,अर्जुन=arjun,अनिता=anita,विक्रम=vikram,सुनीता=sunita,राहुल=rahul,दीपिका=deepika}',
        '{शर्मा=sharma,पटेल=patel,गुप्ता=gupta,वर्मा=verma,मिश्रा=mishra,जोशी=joshi,अय्यर=iyer}',
        '+91 11 5550 ', 4),
    (17, '{伟=wei,秀英=xiuying,娜=na,强=qiang,丽=li,建国=jianguo,雪=xue,浩然=haoran}',
        '{王=wang,李=li,张=zhang,刘=liu,陈=chen,欧阳=ouyang,赵=zhao,司马=sima}',
        '+86 10 5550 ', 4),
    (18, '{陽菜=hina,翔太=shota,さくら=sakura,健一=kenichi,美咲=misaki,大輔=daisuke,ゆき=yuki,直樹=naoki}',
        '{佐藤=sato,鈴木=suzuki,高橋=takahashi,田中=tanaka,渡辺=watanabe,伊藤=ito,山本=yamamoto,小林=kobayashi}',
        '+81 3 5550 ', 4),
    (19, '{민준=minjun,서연=seoyeon,지우=jiwoo,현우=hyunwoo,은지=eunji,수빈=subin}',
        '{김=kim,이=lee,박=park,최=choi,정=jung,강=kang}',
        '+82 2 555 ', 4),
    (20, '{Madison,Tyler,Imani,DeShawn,Caleb,Hannah,Marcus,Jasmine,Mary Ann,Renée}',
        '{Johnson,Washington,McAllister,St. John,Van Buren,O’Hara,Kaʻahumanu,Jackson,Rodríguez,D''Onofrio}',
        '+1 212 555 01', 2)
),
-- 2654435761 is 2^32 divided by the golden ratio; a product with it, cut to 32 bits, spreads the ids, and a
-- second round breaks the pattern that neighbours still show. Each draw below takes bits of its own.
spread AS (
    SELECT id, (id::bigint * 2654435761) % 4294967296 AS h FROM generate_series(10, 10000) AS id
),
scattered AS (
    SELECT id, ((h # (h >> 15)) * 739982445) % 4294967296 AS hash FROM spread
),
drawn AS (
    SELECT id, prefix, digits,
           firstnames[1 + (hash >> 9) % cardinality(firstnames)] AS first,
           lastnames[1 + (hash >> 14) % cardinality(lastnames)] AS last,
           (hash >> 4) % (10 ^ digits)::bigint AS number
      FROM scattered JOIN region ON region.n = (hash >> 19) % 21
),
spelled AS (
    SELECT *, lower(translate(
               regexp_replace(first, '.*=', '') || '.' || regexp_replace(last, '.*=', ''),
               'ÁáÀàÂâÄäÃãÅåĄąÇçČčĆćĎďÐðÉéÈèÊêËëĚěĘęĞğÍíÌìÎîÏïİıŁłÑñŇňŃńÓóÒòÔôÖöÕõØøŘřŠšŚśŞşŤťÚúÙùÛûÜüŮůÝýŽžŻżŹź',
               'AaAaAaAaAaAaAaCcCcCcDdDdEeEeEeEeEeEeGgIiIiIiIiIiLlNnNnNnOoOoOoOoOoOoRrSsSsSsTtUuUuUuUuUuYyZzZzZz')
               COLLATE "C") AS address
      FROM drawn
)
INSERT INTO contact (id, firstname, lastname, phone, email)
SELECT id,
       CASE WHEN id % 37 <> 0 THEN split_part(first, '=', 1) END,
       split_part(last, '=', 1),
       CASE WHEN id % 11 <> 5 THEN prefix || lpad(number::text, digits, '0') END,
       CASE WHEN id % 13 <> 7 THEN
           regexp_replace(address, '[^a-z.]', '', 'g') || id || '@example.' || ('{com,org,net}'::text[])[1 + id % 3]
       END
  FROM spelled
 ORDER BY id
    ON CONFLICT (id) DO NOTHING;

-- The next contact gets an id that was never used, whatever was added since the last load.
DO $$
BEGIN
    PERFORM setval('contact_id_seq', greatest((SELECT max(id) FROM contact), (SELECT last_value FROM contact_id_seq)));
END
$$;

ANALYZE contact;
