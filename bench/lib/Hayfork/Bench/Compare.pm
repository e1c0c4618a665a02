# Hayfork::Bench::Compare: do all servers give the answers that Hayfork gives? What is not the same is not compared.
package Hayfork::Bench::Compare;

use v5.36;

use Exporter qw(import);
use HTTP::Tiny;
use JSON::PP ();

our @EXPORT_OK = qw(differences answers wrong_status);

my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;
my $http = HTTP::Tiny->new(timeout => 20);

# The requests of each route, each a name, what gives the response, and the status if that is not 200. Hayfork's
# answers are kept, those of the others are compared with them.
my %CHECKS = (
    contact => [
        [ 'GET /contacts/1'    => sub ($at) { get("$at/contacts/1") } ],
        [ 'GET /contacts/9999' => sub ($at) { get("$at/contacts/9999") } ],
        [ 'GET /contacts/8'    => sub ($at) { get("$at/contacts/8") } ],
        [ 'GET /contacts/0'    => sub ($at) { status(get("$at/contacts/0")) }, 404 ],
    ],
    list  => [ [ 'GET /contacts' => sub ($at) { get("$at/contacts") } ] ],
    write => [
        [ 'PUT /contacts/5000' => sub ($at) { put("$at/contacts/5000", '+44 20 7946 0999') } ],
        [ 'GET /contacts/5000 behind that' => sub ($at) { get("$at/contacts/5000") } ],
        [ 'PUT /contacts/5000 once more' => sub ($at) { put("$at/contacts/5000", '+44 20 7946 0000') } ],
    ],
    avatar => [ [ 'GET /v1/avatar' => sub ($at) { masked(get("$at/v1/avatar")) } ] ],
    relay  => [
        [ 'GET /v1/user' => sub ($at) { masked(get("$at/v1/user")) } ],
        [ 'Location of GET /v1/user' => sub ($at) { location(get("$at/v1/user")) }, '/v1/user' ],
    ],
);

# What a server at that base answers, for those routes: { route => [ response… ] }.
sub answers ($base, @routes)
{
    return { map { $_ => [ map { $_->[1]->($base) } @{ $CHECKS{$_} } ] } @routes };
}

# Where a server's answers are not those expected: { route => text }.
sub differences ($expected, $got)
{
    my %differs;
    for my $route (keys %$got) {
        for my $i (keys @{ $CHECKS{$route} }) {
            my $why = difference($expected->{$route}[$i], $got->{$route}[$i]) // next;
            $differs{$route} //= "$CHECKS{$route}[$i][0]: $why";
        }
    }
    return \%differs;
}

# The first answer that has not the status which it should have, undef if there is none.
sub wrong_status ($answers)
{
    for my $route (sort keys %$answers) {
        for my $i (keys @{ $CHECKS{$route} }) {
            my ($name, $status) = ($CHECKS{$route}[$i][0], $answers->{$route}[$i]{status});
            return "$name: $status" if $status ne ($CHECKS{$route}[$i][2] // 200);
        }
    }
    return undef;
}

sub get ($url)
{
    return response($http->get($url));
}

sub put ($url, $phone)
{
    my %with = (headers => { 'Content-Type' => 'application/json' }, content => qq({"phone":"$phone"}));
    return response($http->put($url, \%with));
}

sub response ($response)
{
    return {
        status  => $response->{status} == 599 ? "no answer: $response->{content}" : $response->{status},
        type    => lc(($response->{headers}{'content-type'} // 'none') =~ s/\s*;.*//sr),
        body    => $response->{content},
        headers => $response->{headers},
    };
}

# The first time is that of the request: only its form can be compared.
sub masked ($response)
{
    $response->{body} =~ s/("createdAt"\s*:\s*")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/$1now"/;
    return $response;
}

# Nothing but the status: what an error says is everyone's own.
sub status ($response)
{
    return { status => $response->{status} };
}

# Compared in the place of a status.
sub location ($response)
{
    return { status => $response->{headers}{location} // 'none' };
}

# What sets two responses apart, undef if nothing does.
sub difference ($expected, $got)
{
    return "$got->{status} instead of $expected->{status}" if $got->{status} ne $expected->{status};
    return undef if !defined $expected->{body};
    return "Content-Type is $got->{type}" if $got->{type} ne $expected->{type};
    return undef if $got->{body} eq $expected->{body};

    # JSON::PP takes seconds for the list: only what differs as bytes is decoded.
    my ($left, $right) = map { canonical($_->{body}) } $expected, $got;
    return 'the body is not JSON' if !defined $right;
    return undef if $left eq $right;
    my $same = ($left ^. $right) =~ /^(\0*)/ ? length $1 : 0;
    my $from = $same > 20 ? $same - 20 : 0;
    return sprintf 'has "%s" where Hayfork has "%s"', substr($right, $from, 60), substr($left, $from, 60);
}

sub canonical ($text)
{
    my $value = eval { $JSON->decode($text) };
    return defined $value ? $JSON->encode($value) : undef;
}

1;
