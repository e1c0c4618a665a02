# Hayfork::Test::Network: addresses of the test's own, in a network that nobody else sees.
#
#   use Hayfork::Test::Network qw(enter_network);
#   my $has_network = enter_network('10.9.0.1', '10.9.0.2');    # at the very beginning of the test
#   SKIP: { skip 'no network of its own', 1 if !$has_network; … }
#
# What comes from such an address is not loopback to a server, though it leaves the machine as little.
package Hayfork::Test::Network;

use v5.36;

use Exporter qw(import);

our @EXPORT_OK = qw(enter_network);

my $MARK = 'HAYFORK_TEST_NETWORK';

# Starts the test again in a network namespace (network_namespaces(7)) that has these addresses and loopback.
# Returns whether it is in one; where the machine does not let it, the test goes on outside.
sub enter_network (@addresses)
{
    my $is_in = delete $ENV{$MARK};
    return $is_in if defined $is_in;
    my @unshare = ('unshare', '--net', $> == 0 ? () : qw(--user --map-current-user --keep-caps));
    my $prepare = join ' && ', 'ip link set lo up',
      map { "ip address add $_ dev lo" } map { /:/ ? "$_/128 nodad" : "$_/32" } @addresses;
    return 0 if system("@unshare sh -c '$prepare' >/dev/null 2>&1") != 0;
    $ENV{$MARK} = 1;
    exec @unshare, 'sh', '-c', "$prepare && exec \"\$@\"", 'sh', $^X, (map { "-I$_" } @INC), $0, @ARGV
      or die "unshare: $!";
}

1;
