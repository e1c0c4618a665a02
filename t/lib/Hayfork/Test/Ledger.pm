# Hayfork::Test::Ledger: reads and writes over many connections, and an account of every one of them.
#
#   my $ledger = Hayfork::Test::Ledger->new($cluster, seed => 7);      # makes its tables
#   my $server = server($head . $ledger->routes);
#   my $load   = $ledger->load($server, requests => 4_000, connections => 32);
#   is_deeply [ $load->wrong ], [];          # each answer is right for its own request, or a proper 503 or 504
#   is_deeply [ $ledger->mismatches ], [];   # and the table holds what the answers to the writes say
#
# What a request asks for depends only on the seed and its number. Every answer names what was asked for and
# carries a checksum of it, so that nobody else's answer can pass for it.
package Hayfork::Test::Ledger;

use v5.36;

use Digest::MD5 qw(md5_hex);

use Hayfork::Test::Client;
use Hayfork::Test::Load;
use Hayfork::Test::Process qw(wait_for);

my $ITEMS = 2_000;

# The kinds of requests: how many of a hundred are of that kind, and what such a one is. Each has
#   method, target, json   what is asked
#   status, body           the right answer
#   streams                its body may break off
my @KINDS = (
    [ 44 => \&item ],  [ 6 => \&no_item ], [ 12 => \&few_items ], [ 4 => \&many_items ],
    [ 6  => \&slow ],  [ 6 => \&refusal ], [ 18 => \&entry ],     [ 4 => \&slow_entry ],
);

# seed: of what is asked. short: true if no list is to be long enough for being streamed.
sub new ($class, $cluster, %with)
{
    $cluster->psql(<<~SQL);
        CREATE TABLE item AS SELECT id, md5(id::text) AS sum FROM generate_series(1, $ITEMS) id;
        ALTER TABLE item ADD PRIMARY KEY (id);
        CREATE TABLE entry (key text, value text);
        CREATE FUNCTION refuse(id integer) RETURNS integer LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''item % is refused'', id; END';
        ANALYZE item;
        SQL
    return bless { seed => 1, %with, cluster => $cluster, writes => {}, done => 0 }, $class;
}

# The "routes" of a conf. The longest list that is asked for has about 40 KB.
sub routes ($self)
{
    return <<~'CONF';
        routes:
          GET /item/{id}:
            sql: |
              SELECT id, sum FROM item WHERE id = :id
            answer: row
          GET /items/{from}/{count}:
            sql: |
              SELECT id, sum FROM item WHERE id >= :from ORDER BY id LIMIT :count
            answer: rows
          GET /slow/{id}/{seconds}:
            sql: |
              SELECT id, sum FROM item, pg_sleep(:seconds) WHERE id = :id
            answer: row
          GET /refusal/{id}:
            sql: |
              SELECT refuse(:id) AS refusal
            answer: row
          POST /entries:
            sql: |
              INSERT INTO entry (key, value) VALUES (:key, :value) RETURNING key, md5(value) AS sum
            body: [key, value]
            answer: row
            status: 201
          POST /entries/slow:
            sql: |
              INSERT INTO entry (key, value) SELECT :key, :value FROM pg_sleep(:seconds)
              RETURNING key, md5(value) AS sum
            body: [key, value, seconds]
            answer: row
            status: 201
        CONF
}

sub row_of ($id) { return sprintf '{"id":%d,"sum":"%s"}', $id, md5_hex($id) }

sub item ($draw, $n)
{
    my $id = 1 + $draw->($ITEMS);
    return { target => "/item/$id", status => 200, body => row_of($id) };
}

sub no_item ($draw, $n)
{
    return { target => '/item/' . ($ITEMS + 1 + $draw->(1000)), status => 404 };
}

sub items ($from, $count)
{
    my $last = $from + $count - 1 < $ITEMS ? $from + $count - 1 : $ITEMS;
    return {
        target  => "/items/$from/$count",
        status  => 200,
        body    => '[' . join(',', map { row_of($_) } $from .. $last) . ']',
        streams => $count > 40,
    };
}

sub few_items  ($draw, $n) { return items(1 + $draw->($ITEMS),    1 + $draw->(40)) }
sub many_items ($draw, $n) { return items(1 + $draw->($ITEMS / 2), 400 + $draw->(400)) }

sub seconds ($draw) { return (5 + $draw->(60)) / 1000 }

sub slow ($draw, $n)
{
    my $id = 1 + $draw->($ITEMS);
    return { target => "/slow/$id/" . seconds($draw), status => 200, body => row_of($id) };
}

sub refusal ($draw, $n)
{
    my $id = 1 + $draw->($ITEMS);
    return { target => "/refusal/$id", status => 400, detail => "item $id is refused" };
}

sub entry ($draw, $n, %more)
{
    my $value = 'x' x $draw->(200) . $draw->(1 << 30);
    my $more  = join '', map { qq(,"$_":$more{$_}) } keys %more;
    return {
        method => 'POST',
        target => '/entries',
        json   => qq({"key":"k$n","value":"$value"$more}),
        status => 201,
        body   => sprintf('{"key":"k%d","sum":"%s"}', $n, md5_hex($value)),
        value  => $value,
    };
}

sub slow_entry ($draw, $n)
{
    return { %{ entry($draw, $n, seconds => seconds($draw)) }, target => '/entries/slow' };
}

# What request $n is.
sub request ($self, $n)
{
    return $self->{requests}{$n} //= do {
        my $state = $self->{seed} * 1_000_003 + $n;
        my $turn  = 0;
        my $draw  = sub ($limit) { hex(substr md5_hex("$state/", $turn++), 0, 8) % $limit };
        my $at    = $draw->(100);
        my $kind  = 0;
        $at -= $KINDS[ $kind++ ][0] while $at >= $KINDS[$kind][0];
        my $make = $KINDS[$kind][1];
        $make = \&few_items if $self->{short} && $make == \&many_items;
        $make->($draw, $n);
    };
}

# Is that the answer to request $n, or an error that says that there is none?
sub is_answer ($self, $n, $response)
{
    my $request = $self->request($n);
    my $status  = $response->status;
    if ($status == $request->{status} && $status < 400) {
        return $response->body eq $request->{body};
    }
    my $problem = eval { $response->json } // {};
    return 0 if ref $problem ne 'HASH' || ($problem->{status} // 0) != $status;
    if ($status == $request->{status}) {
        return !defined $request->{detail} || $problem->{detail} eq $request->{detail};
    }
    return $status == 504 || ($status == 503 && ($response->header('Retry-After') // '') =~ /^[1-9]\d*$/);
}

# Sends the next so many requests. with: requests, connections, at: see Hayfork::Test::Load.
sub load ($self, $server, %with)
{
    my $first = $self->{done};
    $self->{done} += $with{requests};
    return $server->load(
        pause => 0.02,
        %with,
        request => sub ($n) {
            my $request = $self->request($first + $n);
            return Hayfork::Test::Client::request_text($request->{method} // 'GET', $request->{target},
                json => $request->{json});
        },
        check  => sub ($n, $response) { $self->is_answer($first + $n, $response) },
        breaks => sub ($n)            { $self->request($first + $n)->{streams} },
        ended  => sub ($n, $status) {
            my $request = delete $self->{requests}{ $first + $n };
            $self->{writes}{ $first + $n } = { status => $status, value => $request->{value} }
              if defined $request->{value};
        },
    );
}

# Where the table is not what the answers say, once PostgreSQL has come to an end with all of them: an entry
# that was answered 201 is there once, one that was answered 503 is not, any other one is there at most once.
sub mismatches ($self)
{
    wait_for('PostgreSQL to have done what it was asked', sub {
        !$self->{cluster}->value(<<~'SQL', 'postgres');
            SELECT count(*) FROM pg_stat_activity
             WHERE datname = 'contacts' AND backend_type = 'client backend' AND state <> 'idle'
            SQL
    });
    my %there;
    for my $line (split /\n/, $self->{cluster}->psql('SELECT key, value FROM entry')) {
        my ($n, $value) = $line =~ /^k(\d+)\|(.*)$/;
        push @{ $there{$n} }, $value;
    }
    my @mismatches;
    for my $n (sort { $a <=> $b } keys %{ $self->{writes} }) {
        my ($status, $value) = @{ $self->{writes}{$n} }{qw(status value)};
        my @values = @{ delete $there{$n} // [] };
        my $text   = "entry $n, answered " . ($status // 'not at all') . ', is there ' . @values . ' times';
        push @mismatches, $text if @values > 1 || @values != ({ 201 => 1, 503 => 0 }->{ $status // '' } // @values);
        push @mismatches, "entry $n has another value" if grep { $_ ne $value } @values;
    }
    return @mismatches, map { "entry $_ was never asked for" } sort keys %there;
}

# How many writes got that status.
sub writes ($self, $status)
{
    return scalar grep { ($_->{status} // 0) == $status } values %{ $self->{writes} };
}

1;
