# Hayfork::Bench::Peers: the servers that Hayfork is compared with: folders below bench/peers that bench/setup has
# built.
package Hayfork::Bench::Peers;

use v5.36;

use Carp qw(croak);
use Exporter qw(import);
use File::Glob qw(:bsd_glob);
use List::Util qw(uniq);

our @EXPORT_OK = qw(peers described built pools hayfork_sessions);

# A peer's own description.
sub describe ($folder)
{
    my %peer = (title => '', group => 'other', serves => '', pools => '');
    open my $file, '<:encoding(UTF-8)', "$folder/peer" or croak "$folder/peer: $!";
    while (defined(my $line = readline $file)) {
        next if $line =~ /^\s*(?:#|$)/;
        my ($key, $value) = $line =~ /^([a-z]+)="([^"]*)"\s*$/ or croak "$folder/peer:$.: not a line of KEY=\"VALUE\"";
        $peer{$key} = $value;
    }
    ($peer{name}) = $folder =~ m{([^/]+)$};
    $peer{folder} = $folder;
    $peer{serves} = { map { $_ => 1 } split ' ', $peer{serves} };
    $peer{pools}  = [ split ' ', $peer{pools} ];
    return \%peer;
}

# All peers that there are, built or not.
sub described ($top)
{
    return [ map { describe($_ =~ s{/peer$}{}r) } sort glob "$top/bench/peers/*/peer" ];
}

# What bench/setup says of what it built: { NAME => [ ok|failed, reason ] }.
sub built ($build)
{
    my %status;
    open my $file, '<:encoding(UTF-8)', "$build/status" or return {};
    while (defined(my $line = readline $file)) {
        chomp $line;
        my ($name, $state, $reason) = split /\t/, $line, 3;
        $status{$name} = [ $state, $reason // '' ] if defined $state;
    }
    return \%status;
}

# All peers that are built, and a hash of those that are not: why.
sub peers ($top, $build)
{
    my $status = built($build);
    my (@peers, %missing);
    for my $peer (described($top)->@*) {
        my ($state, $reason) = @{ $status->{ $peer->{name} } // [ 'missing', 'bench/setup has not built it' ] };
        if ($state ne 'ok') {
            $missing{ $peer->{name} } = $reason;
            next;
        }
        $peer->{built}    = "$build/$peer->{name}";
        $peer->{versions} = versions("$peer->{built}/versions");
        push @peers, $peer;
    }
    return (\@peers, \%missing);
}

# { NAME => VERSION } of a file with lines of both.
sub versions ($path)
{
    open my $file, '<:encoding(UTF-8)', $path or return {};
    return { map { /^(\S+)\s+(.*?)\s*$/ ? ($1 => $2) : () } readline $file };
}

# PostgreSQL connections that a Hayfork keeps: a worker has one for reading and one for writing.
sub hayfork_sessions ($workers)
{
    return 2 * $workers;
}

# The numbers of PostgreSQL connections that a peer is measured with.
sub pools ($peer, $workers)
{
    return uniq map { $_ eq '@' ? hayfork_sessions($workers) : 0 + $_ } @{ $peer->{pools} };
}

1;
