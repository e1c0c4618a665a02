# Hayfork::Bench::Scenarios: what bench/field measures, a line for each.
#
#   name      as --only, the results and the report know it
#   needs     the routes that a server must answer (`serves` of a peer)
#   client    who asks: ab, wrk, k6, idle (10,000 connections that keep still, and wrk beside them), or memory
#   path      what for; a client with `pick` appends a number
#   c, t      connections and threads
#   pick      [ mode, last ]: see bench/field.lua
#   duration  of wrk instead of --duration, seconds
#   only      'hayfork': the others are not asked
#   routes    how many routes Hayfork's conf has, instead of those of bench/field.conf
#   about     for the report
package Hayfork::Bench::Scenarios;

use v5.36;

use Exporter qw(import);

our @EXPORT_OK = qw(scenarios uses_database);

our $CONTACTS = 10_000;

my $random = [ random => $CONTACTS ];

my @scenarios = (
    {
        name  => 'contact-ab', needs => ['contact'], client => 'ab', path => '/contacts/1', c => 4,
        about => 'one contact, 4 connections, each request on a new one (`ab -c 4`)',
    },
    (
        map {
            +{
                name  => "contact-1-$_", needs => ['contact'], client => 'wrk', path => '/contacts/1', c => $_, t => 2,
                about => "one contact over and over, $_ connections",
            }
        } 4, 64, 256
    ),
    (
        map {
            +{
                name  => "contact-random-$_", needs => ['contact'], client => 'wrk', path => '/contacts/', c => $_,
                t     => 2, pick => $random,
                about => "a contact drawn from 10,000, $_ connections",
            }
        } 4, 64, 256
    ),
    {
        name  => 'list', needs => ['list'], client => 'wrk', path => '/contacts', c => 4, t => 2,
        about => 'all 10,000 contacts, 4 connections',
    },
    {
        name  => 'mix', needs => [qw(contact write)], client => 'wrk', path => '/contacts/', c => 64, t => 2,
        pick  => [ mix => $CONTACTS ],
        about => 'contacts drawn from 10,000, 90 % GET and 10 % PUT, 64 connections',
    },
    {
        name  => 'avatar', needs => ['avatar'], client => 'wrk', path => '/v1/avatar', c => 100, t => 12,
        about => '20 avatars with the time of the request, `wrk -t12 -c100` (which opens 96 connections), no database',
    },
    {
        name  => 'user', needs => ['relay'], client => 'wrk', path => '/v1/user', c => 100, t => 12,
        about => 'the avatars of another service relayed, `wrk -t12 -c100`',
    },
    {
        name  => 'user-k6', needs => ['relay'], client => 'k6', path => '/v1/user', c => 100,
        about => 'the same, asked by 100 users of k6',
    },
    {
        name  => 'idle', needs => ['contact'], client => 'idle', path => '/contacts/1', c => 4, t => 2, idle => 10_000,
        about => '10,000 idle connections, and one contact asked for over 4 connections beside them',
    },
    {
        name  => 'memory', needs => ['contact'], client => 'memory', path => '/contacts/', c => 64, t => 2,
        pick  => $random,
        about => 'memory with 4 PostgreSQL connections (Hayfork: 4 workers with one route; the peers with all of theirs), at the start and after 3 full loads',
    },
    (
        map {
            +{
                name  => "growth-connections-$_", needs => ['contact'], client => 'wrk', path => '/contacts/', c => $_,
                t     => $_ == 1 ? 1 : 2, pick => $random, duration => 2, only => 'hayfork',
                about => "a contact drawn from 10,000, $_ connections",
            }
        } 1, 4, 16, 64, 256, 1024
    ),
    (
        map {
            +{
                name  => "growth-rows-$_", needs => ['contact'], client => 'wrk', path => "/rows/$_", c => 16, t => 2,
                duration => 2, only => 'hayfork',
                about    => "a list of $_ rows that PostgreSQL makes up, 16 connections",
            }
        } 1, 10, 100, 1000, 10_000
    ),
    (
        map {
            +{
                name => "growth-routes-$_", needs => ['contact'], client => 'wrk', path => '/route/', c => 64, t => 2,
                pick => [ random => $_ ], duration => 2, only => 'hayfork', routes => $_,
                about => "one of $_ SQL routes, drawn anew for each request, 64 connections",
            }
        } 1, 100, 1000
    ),
);

# All of them whose name holds the word, in order.
sub scenarios ($word = '')
{
    return grep { index($_->{name}, $word) >= 0 } @scenarios;
}

sub uses_database ($scenario)
{
    return scalar grep { /^(?:contact|list|write)$/ } @{ $scenario->{needs} };
}

1;
