# hayfork -t --db: PostgreSQL's word on every statement, told with the place in the file where it was written.
use v5.36;

use Hayfork::Test;

use IO::Socket::UNIX;
use POSIX ();

use Hayfork::Test::Process qw(reap slurp spawn spew temporary_folder wait_for);

needs_postgres;
my $folder  = temporary_folder();
my $cluster = cluster;
$cluster->psql(<<~'SQL');
    CREATE TABLE contact (id integer PRIMARY KEY, firstname text NOT NULL, note jsonb, tags text[]);
    CREATE DOMAIN age AS integer CHECK (VALUE >= 0);
    CREATE DOMAIN document AS jsonb;
    CREATE FUNCTION grow(age) RETURNS age LANGUAGE SQL AS 'SELECT $1 + 1';
    CREATE FUNCTION keep(document) RETURNS integer LANGUAGE SQL AS 'SELECT 1';
    CREATE PROCEDURE tidy() LANGUAGE SQL AS '';
    CREATE SCHEMA private;
    CREATE TABLE private.secret (id integer);
    CREATE ROLE visitor LOGIN;
    SQL

# Runs the check on a conf of these routes. Messages name the file as it was given: without a folder, here.
chdir $folder or die "$folder: $!";

sub check ($routes, %with)
{
    my $connect = $with{connect} // $cluster->conninfo;
    spew('hayfork.conf', "database: { connect: \"$connect\" }\nroutes:\n$routes");
    return hayfork('-t', '--db', '-c', 'hayfork.conf', @{ $with{options} // [] });
}

# The conf is wrong, and this is what is said about it. The first route stands on line 3.
sub refused ($name, $routes, $stderr, %with)
{
    return subtest $name => sub {
        my $run = check($routes, %with);
        is $run->{stderr}, $stderr, 'what is said about it';
        is $run->{stdout}, '', 'nothing on standard output';
        is $run->{exit}, 'exit 78';
    };
}

sub accepted ($name, $routes, $n = '1 statement', %with)
{
    return subtest $name => sub {
        my $run = check($routes, %with);
        is $run->{stderr}, '', 'nothing on standard error';
        is $run->{stdout}, "hayfork.conf: the conf is good, and PostgreSQL takes its $n\n";
        is $run->{exit}, 'exit 0';
    };
}

# Places

refused 'a column that does not exist, in a block', <<'CONF', <<'END';
  GET /contacts/{id}:
    sql: |
      SELECT id,
             firstnam
        FROM contact WHERE id = :id
    answer: row
CONF
hayfork.conf:6:14: error: column "firstnam" does not exist
                 firstnam
                 ^
    hint: Perhaps you meant to reference the column "contact.firstname".
END

refused 'behind blank lines, comments and parameters that are longer than $1', <<'CONF', <<'END';
  GET /contacts/{identity}:
    sql: |

      -- the row of /contacts/{identity}, by :identity

      SELECT id FROM contact WHERE id = :identity AND :identity > 0 AND nme = ''
    answer: row
CONF
hayfork.conf:8:73: error: column "nme" does not exist
          SELECT id FROM contact WHERE id = :identity AND :identity > 0 AND nme = ''
                                                                            ^
END

refused 'in quotes on one line, behind an escape', <<'CONF', <<'END';
  GET /a:
    sql: "SELECT \"id\", '\x41' AS a FROM contacts"
    answer: row
  GET /b:
    sql: 'SELECT ''it''''s'' AS a FROM contacts'
    answer: row
CONF
hayfork.conf:4:43: error: relation "contacts" does not exist
        sql: "SELECT \"id\", '\x41' AS a FROM contacts"
                                              ^
hayfork.conf:7:40: error: relation "contacts" does not exist
        sql: 'SELECT ''it''''s'' AS a FROM contacts'
                                           ^
END

refused 'behind characters of two, three and four bytes', <<'CONF', <<'END';
  GET /a:
    sql: |
      SELECT 'Zoë', '日本', '😀', nothing(1)
    answer: row
CONF
hayfork.conf:5:32: error: function nothing(integer) does not exist
          SELECT 'Zoë', '日本', '😀', nothing(1)
                                   ^
    hint: No function matches the given name and argument types. You might need to add explicit type casts.
END

mkdir 'sql' or die $!;
spew('sql/contact.sql', "-- Zoë's query\nSELECT id\n  FROM contact\n WHERE id = :id AND frstname <> ''\n;\n");
refused 'in a file of its own', <<'CONF', <<'END';
  GET /contacts/{id}:
    sql_file: sql/contact.sql
    answer: row
CONF
sql/contact.sql:4:21: error: column "frstname" does not exist
     WHERE id = :id AND frstname <> ''
                        ^
    hint: Perhaps you meant to reference the column "contact.firstname".
END

refused 'a statement that ends too early: right behind its last word', <<'CONF', <<'END';
  GET /a:
    sql: |
      SELECT id FROM contact
       WHERE

    answer: row
  GET /b:
    sql: "SELECT (1"
    answer: row
CONF
hayfork.conf:6:13: error: syntax error at end of input
           WHERE
                ^
hayfork.conf:10:20: error: syntax error at end of input
        sql: "SELECT (1"
                       ^
END

refused 'a syntax error at a parameter, by its name', <<'CONF', <<'END';
  GET /a/{n}:
    sql: |
      SELECT 1 AS a LIMIT 1 :n
    answer: row
CONF
hayfork.conf:5:29: error: syntax error at or near ":n"
          SELECT 1 AS a LIMIT 1 :n
                                ^
END

refused 'where PostgreSQL gives no place: at the first word', <<'CONF', <<'END';
  GET /a:
    sql: |
      -- PostgreSQL has /* array_length */ for arrays of any type
      SELECT array_length(:a, 1) AS a
    query: [a]
    answer: row
CONF
hayfork.conf:6:7: error: could not determine polymorphic type because input has type unknown
          SELECT array_length(:a, 1) AS a
          ^
END

refused 'a schema that is not for the role', <<'CONF', <<'END', connect => $cluster->conninfo(user => 'visitor');
  GET /a:
    sql: |
      SELECT id FROM private.secret
    answer: row
CONF
hayfork.conf:5:22: error: permission denied for schema private
          SELECT id FROM private.secret
                         ^
    hint: GRANT it to the role visitor
END

refused 'several statements on both lanes, in the order of the file', <<'CONF', <<'END';
  POST /contacts:
    sql: |
      INSERT INTO contact (id, name) VALUES (:id, :name) RETURNING id
    body: [id, name]
    answer: row
  GET /contacts/{id}:
    sql: |
      SELECT id FROM contact WHERE id = :id AND nme = ''
    answer: row
    lane: write
  GET /ghosts:
    sql: |
      SELECT id FROM ghost
    answer: rows
  GET /contacts:
    sql: |
      SELECT id FROM contact
    answer: rows
CONF
hayfork.conf:5:32: error: column "name" of relation "contact" does not exist
          INSERT INTO contact (id, name) VALUES (:id, :name) RETURNING id
                                   ^
hayfork.conf:10:49: error: column "nme" does not exist
          SELECT id FROM contact WHERE id = :id AND nme = ''
                                                    ^
hayfork.conf:15:22: error: relation "ghost" does not exist
          SELECT id FROM ghost
                         ^
END

# Types

refused 'operands whose types do not fit', <<'CONF', <<'END';
  GET /a:
    sql: |
      SELECT id FROM contact WHERE firstname = 5
    answer: rows
  GET /b:
    sql: |
      SELECT id FROM contact WHERE id = 'five'
    answer: rows
CONF
hayfork.conf:5:46: error: operator does not exist: text = integer
          SELECT id FROM contact WHERE firstname = 5
                                                 ^
    hint: No operator matches the given name and argument types. You might need to add explicit type casts.
hayfork.conf:9:41: error: invalid input syntax for type integer: "five"
          SELECT id FROM contact WHERE id = 'five'
                                            ^
END

refused 'a parameter whose type nothing tells', <<'CONF', <<'END';
  GET /a:
    sql: |
      SELECT id FROM contact WHERE :q IS NULL
    query: [q]
    answer: rows
  GET /b:
    sql: |
      SELECT jsonb_build_object('id', :id, 'q', :q) AS b
    query: { id: 1, q: null }
    answer: row
CONF
hayfork.conf:5:36: error: cannot tell the type of :q; write :q::text
          SELECT id FROM contact WHERE :q IS NULL
                                       ^
hayfork.conf:10:39: error: cannot tell the type of :id; write :id::text
          SELECT jsonb_build_object('id', :id, 'q', :q) AS b
                                          ^
END

accepted 'a parameter whose type only its second use tells', <<'CONF', '3 statements';
  GET /a:
    sql: |
      SELECT id FROM contact WHERE (:q IS NULL OR firstname ILIKE :q) LIMIT :n
    query: [q, n]
    answer: rows
  GET /b:
    sql: |
      SELECT id, tags FROM contact
       WHERE (:id IS NULL OR id = :id) AND (:tag IS NULL OR :tag = ANY (tags)) AND (:tag IS NULL OR id > 0)
    query: [id, tag]
    answer: rows
  GET /c:
    sql: |
      SELECT CASE WHEN :id IS NULL THEN 0 ELSE id + :id END AS c FROM contact
    query: [id]
    answer: rows
CONF

refused 'a parameter whose uses contradict each other', <<'CONF', <<'END';
  GET /a:
    sql: |
      INSERT INTO contact (id, firstname) VALUES (:q, :q) RETURNING id
    query: [q]
    answer: row
    lane: write
CONF
hayfork.conf:5:55: error: inconsistent types deduced for parameter :q
          INSERT INTO contact (id, firstname) VALUES (:q, :q) RETURNING id
                                                          ^
    detail: integer versus text
END

# What does not fit the route

refused 'no columns for an answer that needs some', <<'CONF', <<'END';
  DELETE /a/{id}:
    sql: |
      DELETE FROM contact WHERE id = :id
    answer: row
  PUT /a/{id}:
    sql: "UPDATE contact SET note = NULL WHERE id = :id"
    answer: value
CONF
hayfork.conf:5:7: error: `answer: row` needs columns, and this statement has none; add RETURNING, or write `answer: none`
          DELETE FROM contact WHERE id = :id
          ^
hayfork.conf:8:11: error: `answer: value` needs columns, and this statement has none; add RETURNING, or write `answer: none`
        sql: "UPDATE contact SET note = NULL WHERE id = :id"
              ^
END

accepted 'columns that nobody asked for', <<'CONF';
  DELETE /a/{id}:
    sql: |
      DELETE FROM contact WHERE id = :id RETURNING id
    answer: none
CONF

refused 'a SELECT that makes a table', <<'CONF', <<'END';
  GET /b:
    sql: |
      (/* how? */ SELECT 1 AS b)
    answer: row
  POST /d:
    sql: "SELECT id INTO copy FROM contact"
    answer: none
CONF
hayfork.conf:8:11: error: this SELECT answers no columns; if it has INTO, which makes a table, remove that
        sql: "SELECT id INTO copy FROM contact"
              ^
END

refused 'a body that is not taken as JSON', <<'CONF', <<'END';
  POST /a:
    sql: |
      INSERT INTO contact (id, firstname) VALUES (:all, '')
    body_as: all
    answer: none
CONF
hayfork.conf:5:51: error: the body is JSON, and PostgreSQL takes :all for something else; write :all::jsonb
          INSERT INTO contact (id, firstname) VALUES (:all, '')
                                                      ^
END

refused 'bounds of what is no number', <<'CONF', <<'END';
  GET /a:
    sql: |
      SELECT id FROM contact WHERE firstname > :after LIMIT :limit
    query:
      after: { default: 0, min: 0 }
      limit: { default: 10, min: 1, max: 100 }
    answer: rows
CONF
hayfork.conf:5:48: error: after has min, and PostgreSQL does not take :after for a number; write :after::int
          SELECT id FROM contact WHERE firstname > :after LIMIT :limit
                                                   ^
END

accepted 'bounds of numbers in an array, and domains of one\'s own', <<'CONF', '2 statements';
  GET /a:
    sql: |
      SELECT id FROM contact WHERE id = ANY (:ids)
    query: { ids: { min: 1 } }
    answer: rows
  POST /b:
    sql: |
      SELECT grow(:age) AS age, keep(:all) AS kept
    query: { age: { default: 0, min: 0 } }
    body_as: all
    answer: row
CONF

refused 'a name in a header that stands for nothing', <<'CONF', <<'END';
  PUT /a/{key}:
    sql: |
      UPDATE contact SET firstname = :firstname WHERE id = :key RETURNING id, firstname
    body: [firstname]
    answer: row
    headers:
      Location: "/a/{id}"
      X-Key: "{key}"
      X-Name: "{fistname}"
CONF
hayfork.conf:11:7: error: {fistname} is neither a column of the answer nor a parameter of PUT /a/{key}; did you mean "firstname"?
          X-Name: "{fistname}"
          ^
END

accepted 'arrays of a statement that writes in its WITH', <<'CONF';
  POST /a:
    sql: |
      WITH new AS (INSERT INTO contact (id, firstname) VALUES (1, '') RETURNING id, tags)
      SELECT * FROM new
    answer: row
CONF

# What answers records is executed within another statement, in which PostgreSQL allows less.
$cluster->psql(<<~'SQL');
    CREATE VIEW guest AS SELECT id, firstname FROM contact;
    CREATE RULE welcome AS ON INSERT TO guest DO INSTEAD
        INSERT INTO contact (id, firstname) VALUES (NEW.id, NEW.firstname) RETURNING id, firstname;
    CREATE RULE announce AS ON INSERT TO guest DO ALSO NOTIFY guests;
    SQL
refused 'a record where a rule makes two statements of one', <<'CONF', <<'END';
  POST /a:
    sql: |
      INSERT INTO guest VALUES (1, '') RETURNING ROW(id, firstname) AS guest
    answer: row
CONF
hayfork.conf:5:7: error: write to_json(COLUMN) for columns that are records or of a type with a cast to json
          INSERT INTO guest VALUES (1, '') RETURNING ROW(id, firstname) AS guest
          ^
    detail: PostgreSQL cannot be asked for that afterwards: DO ALSO rules are not supported for data-modifying statements in WITH
END

accepted '… unless it is made json there', <<'CONF';
  POST /a:
    sql: |
      INSERT INTO guest VALUES (1, '') RETURNING to_json(ROW(id, firstname)) AS guest
    answer: row
CONF

accepted 'a record of what writes, in its WITH and after it', <<'CONF', '2 statements';
  POST /a:
    sql: |
      WITH new AS (INSERT INTO contact (id, firstname) VALUES (1, '') RETURNING id, tags)
      SELECT ROW(id, tags) AS new FROM new
    answer: row
  POST /b:
    sql: |
      WITH old AS (DELETE FROM contact WHERE id = 1 RETURNING *)
      INSERT INTO contact SELECT * FROM old RETURNING ROW(id, tags) AS new
    answer: row
CONF

subtest 'nothing is run' => sub {
    check(<<~'CONF');
          DELETE /a:
            sql: DELETE FROM contact
            answer: none
          POST /b:
            sql: "INSERT INTO contact (id, firstname) VALUES (7, '')"
            answer: none
        CONF
    is $cluster->value('SELECT count(*) FROM contact'), '0';
};

# Databases

my $one_route = <<'CONF';
  GET /a:
    sql: |
      SELECT id FROM contact
    answer: rows
  POST /a:
    sql: |
      DELETE FROM contact
    answer: none
CONF

sub unavailable ($name, $stderr, %with)
{
    return subtest $name => sub {
        my $run = check($one_route, %with);
        like $run->{stderr}, $stderr, 'the reason';
        is scalar(() = $run->{stderr} =~ /^hayfork: /mg), 1, '… once for both lanes';
        is $run->{stdout}, '', 'nothing on standard output';
        is $run->{exit}, 'exit 69';
    };
}

unavailable 'a database that is not there',
  qr{\Ahayfork: cannot connect to the database of database\.connect: .*"\Q$folder\E/.*No such file}s,
  connect => "host=$folder dbname=contacts";

unavailable 'a database that does not exist', qr/of database\.connect: .*database "nowhere" does not exist/,
  connect => $cluster->conninfo(dbname => 'nowhere');

$cluster->psql(q(CREATE ROLE guarded LOGIN PASSWORD 'right'));
subtest 'a wrong password' => sub {
    my $run = check($one_route, connect => $cluster->conninfo(user => 'guarded', password => 'guess'));
    like $run->{stderr}, qr/password authentication failed for user "guarded"/;
    unlike $run->{stderr}, qr/guess/, 'is not shown';
    is $run->{exit}, 'exit 69';
};

subtest 'a database that takes connections and says nothing' => sub {
    my $silent = IO::Socket::UNIX->new(Local => "$folder/.s.PGSQL.5432", Listen => 1) // die $!;
    my $run    = check($one_route, connect => "host=$folder connect_timeout=2");
    like $run->{stderr}, qr/of database\.connect: .*timeout expired/;
    is $run->{exit}, 'exit 69', '… after as long as connect_timeout says';
};

subtest 'a replica has its own connection' => sub {
    my @read = ('-o', 'database.read=' . $cluster->conninfo(dbname => 'replica'));
    my $run  = check($one_route, options => \@read);
    like $run->{stderr}, qr/\Ahayfork: cannot connect to the database of database\.read: .*"replica" does not exist/;
    is $run->{exit}, 'exit 69';

    $cluster->psql('CREATE DATABASE replica', 'postgres');
    $run = check($one_route, options => \@read);
    is $run->{stderr}, <<~'END', 'reads are asked about there, writes are not';
        hayfork.conf:5:22: error: relation "contact" does not exist
                  SELECT id FROM contact
                                 ^
        END
    is $run->{exit}, 'exit 78';
};

subtest 'a mistake goes before a database that is away' => sub {
    my $run = check(<<~'CONF', options => [ '-o', 'database.read=' . $cluster->conninfo(dbname => 'nowhere') ]);
          GET /a:
            sql: |
              SELECT 1 AS a
            answer: row
          POST /a:
            sql: |
              DELETE FROM ghost
            answer: none
        CONF
    like $run->{stderr}, qr/^hayfork: cannot connect.*^hayfork\.conf:9:\d+: error: relation "ghost"/ms;
    is $run->{exit}, 'exit 78', 'for a conf that is wrong will not become right';
};

subtest 'a conninfo that libpq cannot read is a mistake in the conf, for -t and at start, too' => sub {
    my %said = (
        'dbname=contacts hots=here' => <<~'END',
            hayfork.conf:1:39: error: libpq has no option "hots"; did you mean "host"?
                database: { connect: "dbname=contacts hots=here" }
                                                      ^
            END
        'dbname=contacts password=my guess' => <<~'END',
            hayfork.conf:1:51: error: this word has no `=`: options are written KEY=VALUE, and a value with spaces needs single quotes
                database: { connect: "dbname=contacts password=********" }
                                                                  ^
            END
        q(dbname=contacts password='my guess) => <<~'END',
            hayfork.conf:1:39: error: the quote of this value is never closed; in a value a quote is \'
                database: { connect: "dbname=contacts password=*********" }
                                                      ^
            END
        'dbname=contacts port=543x' => <<~'END',
            hayfork.conf:1:44: error: a port is a number from 1 to 65535
                database: { connect: "dbname=contacts port=543x" }
                                                           ^
            END
        'dbname=contacts sslmode=on' => <<~'END',
            hayfork.conf:1:47: error: sslmode takes disable, allow, prefer, require, verify-ca or verify-full
                database: { connect: "dbname=contacts sslmode=on" }
                                                              ^
            END
        '$DATABASE_URL' => <<~'END',
            hayfork.conf:1:23: error: a variable needs braces: write ${DATABASE_URL}
                database: { connect: "$DATABASE_URL" }
                                      ^
            END
        'junk' => <<~'END',
            hayfork.conf:1:23: error: "junk" is not a connection string: write dbname=junk
                database: { connect: "junk" }
                                      ^
            END
    );
    for my $connect (sort keys %said) {
        my $run = check($one_route, connect => $connect);
        is $run->{stderr}, $said{$connect}, "-t --db: $connect";
        is $run->{exit}, 'exit 78';
        for my $mode ([], ['-t'], ['-T']) {
            my $other = hayfork(@$mode, '-c', 'hayfork.conf');
            is_deeply $other, $run, "hayfork @$mode";
        }
    }
};

# Runs a check while someone else holds the table: $do->() is called once its first statement waits.
sub check_held ($deadline, $do)
{
    my $holder = spawn(
        [
            Hayfork::Test::Cluster::psql_program(), '-X', '-d', $cluster->conninfo, '-c',
            'BEGIN; LOCK TABLE contact; SELECT pg_sleep(60)',
        ],
        stdout => "$folder/holder",
        stderr => "$folder/holder",
    );
    my $locks = "SELECT count(*) FROM pg_locks WHERE relation = 'contact'::regclass AND %s";
    wait_for('the lock', sub { $cluster->value(sprintf $locks, "mode = 'AccessExclusiveLock' AND granted") });
    my $check = fork // die "fork: $!";
    if ($check == 0) {
        my $run = check($one_route, options => [ '-o', "limits.deadline=$deadline" ]);
        spew("$folder/held", "$run->{exit}\n$run->{stderr}");
        POSIX::_exit(0);
    }
    wait_for('a statement that waits', sub { $cluster->value(sprintf $locks, 'NOT granted') });
    $do->();
    waitpid $check, 0;
    $cluster->psql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'));
    reap($holder);
    return slurp("$folder/held");
}

subtest 'a table that somebody else holds' => sub {
    is check_held('500ms', sub { }), <<~'END', 'is waited for as long as a deadline, and is no mistake';
        exit 69
        hayfork: cannot check GET /a: canceling statement due to statement timeout
        hayfork: cannot check POST /a: canceling statement due to statement timeout
        END
};

subtest 'a connection that is lost' => sub {
    my $said = check_held('30s', sub {
        $cluster->psql(<<~'SQL');
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'hayfork';
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'
            SQL
    });
    like $said, qr{\Aexit 69\nhayfork: cannot check GET /a: .*terminating connection due to administrator command};
};

# Lanes

my @lanes = ('-o', 'database.lanes={ report: { }, bulk: { from: write } }');
refused 'statements on lanes of their own', <<'CONF', <<'END', options => \@lanes;
  GET /report:
    sql: |
      SELECT id, nosuch FROM contact
    answer: rows
    lane: report
  GET /reset:
    sql: |
      UPDATE contact SET neither = NULL
    answer: none
    lane: bulk
CONF
hayfork.conf:5:18: error: column "nosuch" does not exist
          SELECT id, nosuch FROM contact
                     ^
hayfork.conf:10:26: error: column "neither" of relation "contact" does not exist
          UPDATE contact SET neither = NULL
                             ^
END

# What is said about the connections of two lanes, read and write: 16 in each worker.
my $small;

sub warned ($name, $warning, %with)
{
    $small //= Hayfork::Test::Cluster->start(max_connections => 20);
    return subtest $name => sub {
        my $connect = $with{connect} // $small->conninfo;
        my @options = map { ('-o', $_) } @{ $with{options} // ['workers=2'] };
        my $run     = check(<<~'CONF', connect => $connect, options => \@options);
              GET /a: { sql: "SELECT 1", answer: row }
              POST /a: { sql: "SELECT 2", answer: row }
            CONF
        is $run->{stderr}, $warning;
        is $run->{stdout}, "hayfork.conf: the conf is good, and PostgreSQL takes its 2 statements\n";
        is $run->{exit}, 'exit 0', '… for that is no mistake';
    };
}

warned 'more connections than the server takes', <<'END';
hayfork: warning: the conf may open 32 connections, the server allows 17 (max_connections 20, 3 of them reserved): lower database.max or database.connections, or raise max_connections
END
warned 'database.max counts', <<'END', options => [ 'workers=2', 'database.max=18' ];
hayfork: warning: the conf may open 18 connections, the server allows 17 (max_connections 20, 3 of them reserved): lower database.max or database.connections, or raise max_connections
END
warned 'as many as the server takes', '', options => [ 'workers=2', 'database.max=17' ];
warned 'lanes that no route uses do not count', '', options => [ 'workers=1', 'database.lanes={ report: { } }' ];

subtest 'the workers of this machine' => sub {
    my ($workers) = hayfork('-T', '-c', 'hayfork.conf', '-o', 'workers=auto')->{stdout} =~ /: (\d+) workers? \(auto/;
    my $said  = $workers == 1 ? '1 worker' : "$workers workers";
    my $lanes = 'database.lanes={ read: { connections: 1 }, write: { connections: 100 } }';
    my $n     = 101 * $workers;
    warned 'are counted', <<~END, options => [ 'workers=auto', 'database.max=100000', $lanes ];
        hayfork: warning: the conf may open $n connections with the $said of this machine, the server allows 17 (max_connections 20, 3 of them reserved): lower database.max or database.connections, or raise max_connections
        END
};

$small->psql('CREATE ROLE web LOGIN CONNECTION LIMIT 16');
my $as_web = $small->conninfo(user => 'web');
warned 'a role with less', <<'END', connect => $as_web;
hayfork: warning: the conf may open 32 connections, the server allows 16 (the limit of role web): lower database.max or database.connections, or raise it by ALTER ROLE ... CONNECTION LIMIT
END
warned 'a role with enough', '', connect => $as_web, options => ['workers=1'];
my @read_small = ('database.read=' . $small->conninfo);
my @of_nine    = ('workers=1', 'database.connections=9', @read_small);
warned 'sessions of two roles on one server count together', <<'END', connect => $as_web, options => \@of_nine;
hayfork: warning: the conf may open 18 connections, the server allows 17 (max_connections 20, 3 of them reserved): lower database.max or database.connections, or raise max_connections
END

$small->psql('ALTER DATABASE contacts CONNECTION LIMIT 15');
warned 'a database with less still', <<'END', connect => $as_web;
hayfork: warning: the conf may open 32 connections, the server allows 15 (the limit of database contacts): lower database.max or database.connections, or raise it by ALTER DATABASE ... CONNECTION LIMIT
END
warned 'limits do not bind a superuser', '', options => ['workers=1'];

my @of_three = ('workers=3', @read_small);
warned 'a replica has limits of its own', <<'END', connect => $cluster->conninfo, options => \@of_three;
hayfork: warning: the conf may open 24 connections, the server of database.read allows 17 (max_connections 20, 3 of them reserved): lower database.max or database.connections, or raise max_connections
END

$small->psql('REVOKE SELECT ON pg_catalog.pg_roles FROM PUBLIC');
warned 'what the server does not tell is no reason to warn', '', connect => $as_web;
$small->stop;

subtest 'a conf without SQL needs no database' => sub {
    my $run = check(qq(  GET /:\n    text: "hello\\n"\n), connect => "host=$folder/nobody");
    is $run->{stdout}, "hayfork.conf: the conf is good; it has no SQL\n";
    is $run->{exit}, 'exit 0';
};

subtest 'a mistake in the conf is told before the database is asked' => sub {
    my $run = check("  GET /a:\n    sqll: x\n", connect => "host=$folder/nobody");
    like $run->{stderr}, qr/\Ahayfork\.conf:4:5: error: unknown key "sqll"/;
    unlike $run->{stderr}, qr/cannot connect/;
    is $run->{exit}, 'exit 78';
};

subtest '--db goes with -t' => sub {
    for my $arguments ([qw(--db)], [qw(-T --db)], [qw(-t --db=x)], [qw(-t --bd)]) {
        my $run = hayfork(@$arguments, '-c', 'hayfork.conf');
        is $run->{exit}, 'exit 64', "hayfork @$arguments";
        like $run->{stderr}, qr/\Ahayfork: .*--.*\n\z/;
    }
};

done_testing;
