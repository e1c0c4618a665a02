# Makefile.am names every source, header and test there is: a test that is missing there would never run.
use v5.36;

use Hayfork::Test;

use File::Find qw(find);

use Hayfork::Test::Process qw(slurp);

my $top      = $Hayfork::Test::TOP_SRCDIR;
my $makefile = slurp("$top/Makefile.am") =~ s/\\\n//gr;

# The words of a variable of Makefile.am, sorted.
sub words_of ($name)
{
    return [ sort split ' ', $makefile =~ /^\Q$name\E[ ]*=(.*)$/m ? $1 : '' ];
}

# The files of a folder that match, with their paths from the top folder, sorted.
sub files_in ($folder, $like)
{
    my @files;
    find({ no_chdir => 1, wanted => sub { push @files, s{^\Q$top\E/}{}r if -f && /$like/ } }, "$top/$folder");
    return sort @files;
}

sub without_suffix (@files)
{
    return map { s/\.c$//r } @files;
}

my @fuzz_targets = grep { slurp("$top/$_") =~ /^int LLVMFuzzerTestOneInput\(.*\)$/m } files_in('t/fuzz', qr/\.c$/);

is_deeply words_of('libhayfork_a_SOURCES'), [ grep { !m{^src/(?:main\.c|imaging/|inferring/)} } files_in('src', qr/\.[ch]$/) ],
  'libhayfork_a_SOURCES are the files in src/';
is_deeply words_of('hayfork_images_SOURCES'), [ files_in('src/imaging', qr/\.[ch]$/) ],
  'hayfork_images_SOURCES are those of the helper';
is_deeply words_of('hayfork_inference_SOURCES'), [ files_in('src/inferring', qr/\.[ch]$/) ],
  '… and of the other one';
is_deeply words_of('unit_tests'), [ without_suffix(files_in('t/unit', qr/\.c$/)) ], 'unit_tests are in t/unit/';
is_deeply words_of('fuzz_targets'), [ without_suffix(@fuzz_targets) ], 'fuzz_targets are in t/fuzz/';
is_deeply words_of('test_headers'), [ files_in('t', qr/\.h$/) ], 'test_headers are in t/';
is_deeply words_of('perl_tests'), [ files_in('t', qr/\.t$/) ], 'perl_tests are in t/';

done_testing;
