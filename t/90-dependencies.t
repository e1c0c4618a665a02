# How files in src/ may depend on each other: in one direction, and on libraries only where they belong.
use v5.36;

use FindBin;
use lib "$FindBin::Bin/lib";
use Hayfork::Test;

use File::Basename qw(basename);
use File::Find qw(find);

use Hayfork::Test::Process qw(slurp);

# The floors of the house, from the top: a file may include headers of its own folder and of the floors below.
my @FLOORS = (
    [qw(main.c)],
    [qw(process)],
    [qw(server)],
    [qw(handlers)],
    [qw(db upstream)],
    [qw(conf)],
    [qw(route)],
    [qw(pg http loop metrics)],
    [qw(base)],
);

# Who may include a library's header, and which headers are not for those below.
my %ONLY_FOR = (
    '<h2o.h>'             => qr{^(?:process/worker|server/|upstream/|handlers/|db/|loop/)},
    '<libpq-fe.h>'        => qr{^(?:conf/conninfo|db/|pg/pgjson|handlers/sql)},
    '<json-c/json.h>'     => qr{^(?:http/problem|conf/)},
    '<yaml.h>'            => qr{^conf/},
    '<liburing.h>'        => qr{^loop/outbox},
    '"server/exchange.h"' => qr{^(?:server/exchange|process/worker)},
    '"process/worker.h"'  => qr{^process/},
    '"process/master.h"'  => qr{^(?:process/master|main)},
);

my $src = "$Hayfork::Test::TOP_SRCDIR/src";
my @files;
find({ no_chdir => 1, wanted => sub { push @files, s{^\Q$src\E/}{}r if /\.[ch]$/ } }, $src);
@files = sort @files;
ok @files > 20, 'there is something to look at';

my %floor;    # folder => number of its floor, from the top
for my $floor (0 .. $#FLOORS) {
    $floor{$_} = $floor for @{ $FLOORS[$floor] };
}

sub room_of ($file)
{
    return $file =~ s{/.*}{}r;
}

for my $file (@files) {
    my $text  = slurp("$src/$file");
    my @lines = split /\n/, $text;
    my @wrong;

    my $room = room_of($file);

    push @wrong, 'it is in no room of the house' if !exists $floor{$room};
    for my $include ($text =~ /^[ \t]*#[ \t]*include[ \t]+(["<][^">]+[">])/mg) {
        my $header = $include =~ s/["<>]//gr;
        push @wrong, "$include is not for it" if exists $ONLY_FOR{$include} && $file !~ $ONLY_FOR{$include};
        next if $include =~ /^</ || room_of($header) eq $room;
        push @wrong, "$include is not below it"
          if ($floor{ room_of($header) } // 0) <= ($floor{$room} // 0);
    }
    is_deeply \@wrong, [], "$file depends on what is below it";

    my $name = basename($file);
    like join("\n", @lines[ 0, 1 ]), qr{\A/\*(?:\n \*)? \Q$name\E: \S}, "$file begins with what it is for";
    cmp_ok scalar @lines, '<', 800, "$file is short enough to read";
}

done_testing;
