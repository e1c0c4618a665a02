# Hayfork::Bench::Results: the file of results, a JSON object a line.
#
#   about   the machine, the versions, how long a run lasts; the first line, and again when something has changed
#   note    what is not measured of a server, and why
#   run     the figures of one run
package Hayfork::Bench::Results;

use v5.36;

use Exporter qw(import);
use Fcntl qw(LOCK_EX LOCK_NB O_RDWR O_CREAT);
use JSON::PP ();
use POSIX qw(strftime);

our @EXPORT_OK = qw(read_results key_of);

my $JSON = JSON::PP->new->utf8->canonical;

# The lines of a file, decoded. The last one may be torn: it is left out, and that is told in the second value, the
# length of what is whole.
sub read_results ($path)
{
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/ = undef;
    my $text  = readline($file) // '';
    my $whole = 1 + rindex $text, "\n";
    my ($n, @lines) = (0);
    for my $line (split /\n/, substr $text, 0, $whole) {
        ++$n;
        my $value = eval { $JSON->decode($line) };
        ref $value eq 'HASH' && defined $value->{kind} or die "$path:$n: not a line of results\n";
        push @lines, $value;
    }
    return (\@lines, $whole);
}

# What a run is known by.
sub key_of ($run)
{
    return join '|', $run->@{qw(scenario server pool round)};
}

# Opens a file to go on with, or makes it.
sub resume ($class, $path)
{
    sysopen my $file, $path, O_RDWR | O_CREAT or die "$path: $!\n";
    flock $file, LOCK_EX | LOCK_NB or die "$path: another bench/field writes to it\n";
    my ($lines, $whole) = read_results($path);
    truncate $file, $whole or die "$path: $!\n";
    sysseek $file, 0, 2 or die "$path: $!\n";
    my %done = map { key_of($_) => 1 } grep { $_->{kind} eq 'run' && !defined $_->{error} } @$lines;
    my ($about) = grep { $_->{kind} eq 'about' } reverse @$lines;
    my %noted = map { note_key($_) => 1 } grep { $_->{kind} eq 'note' } @$lines;
    return bless { path => $path, file => $file, done => \%done, about => $about, noted => \%noted }, $class;
}

sub about ($self) { return $self->{about} }

sub has ($self, $run)
{
    return $self->{done}{ key_of($run) };
}

# A line is written in one piece: there is never half of it for long.
sub append ($self, $kind, $fields)
{
    my $line = $JSON->encode({ %$fields, kind => $kind, time => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime) }) . "\n";
    my $n    = syswrite $self->{file}, $line;
    defined $n && $n == length $line or die "$self->{path}: " . ($! || 'no space left') . "\n";
    return;
}

# Remembers why something is not measured, once.
sub note ($self, $server, $what, $why)
{
    my %note = (server => $server, what => $what, why => $why);
    $self->append(note => \%note) if !$self->{noted}{ note_key(\%note) }++;
    return;
}

sub note_key ($note)
{
    return join "\0", $note->@{qw(server what why)};
}

# Writes the line about machine and versions unless the last one says the same.
sub introduce ($self, $about)
{
    my %before = %{ $self->{about} // {} };
    delete @before{qw(kind time)};
    return if $JSON->encode(\%before) eq $JSON->encode($about);
    $self->append(about => $about);
    $self->{about} = $about;
    return;
}

1;
