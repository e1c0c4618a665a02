# Hayfork::Bench::Progress: what runs, how many are done, the time left; in place on a terminal, else a line every
# ten seconds.
package Hayfork::Bench::Progress;

use v5.36;

use Time::HiRes qw(time);

# Each run is planned with a number of seconds; how long they really take is learnt.
sub new ($class, $runs, $planned)
{
    return bless {
        runs    => $runs,
        planned => $planned,
        done    => 0,
        passed  => 0,
        begun   => time,
        said    => 0,
        place   => -t *STDERR,
    }, $class;
}

sub run_begins ($self, $what)
{
    $self->show(sprintf '[%d/%d] %s, %s', $self->{done} + 1, $self->{runs}, $what, $self->left);
    return;
}

sub run_ends ($self, $planned)
{
    $self->{done}++;
    $self->{passed} += $planned;
    return;
}

sub left ($self)
{
    my $pace    = $self->{passed} > 0 ? (time - $self->{begun}) / $self->{passed} : 1;
    my $seconds = ($self->{planned} - $self->{passed}) * $pace;
    my ($h, $m, $s) = (int $seconds / 3600, int($seconds / 60) % 60, $seconds % 60);
    return $h > 0 ? sprintf('%d h %02d min left', $h, $m) : sprintf('%d min %02d s left', $m, $s);
}

# Says something for now; on a terminal it is overwritten by what comes next.
sub show ($self, $text)
{
    if ($self->{place}) {
        print {*STDERR} "\r\e[K$text";
    } elsif (time - $self->{said} >= 10) {
        print {*STDERR} "$text\n";
        $self->{said} = time;
    }
    return;
}

# Says something that stays.
sub keep ($self, $text)
{
    print {*STDERR} $self->{place} ? "\r\e[K" : '', "$text\n";
    return;
}

sub clear ($self)
{
    print {*STDERR} "\r\e[K" if $self->{place};
    return;
}

1;
