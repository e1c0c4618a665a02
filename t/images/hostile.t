# Routes with `images`: originals that are broken, or made to break something. Each gets a clear answer, by helpers that live
# on, in bounded memory and time.
use v5.36;

use Hayfork::Test;

use Compress::Zlib qw(crc32 compress);

use Hayfork::Test::Picture qw(needs_images draw magick);
use Hayfork::Test::Process qw(slurp spew temporary_folder wait_for);

needs_images;

my $top = temporary_folder();
my %file;    # name => [ bytes, the statuses that it may get ]

srand 7;
draw("$top/noise.png", 120, 80, sub ($x, $y) { [ map { int rand 256 } 1 .. 3 ] });
magick("$top/noise.png", '-quality', 95, "$top/noise.jpg");
magick("$top/noise.png", '-quality', 95, '-interlace', 'JPEG', "$top/progressive.jpg");
magick("$top/noise.png", '-quality', 95, "$top/noise.webp");
magick("$top/noise.png", "$top/noise.gif");
my %good = map { $_ => slurp("$top/$_") } qw(noise.png noise.jpg progressive.jpg noise.webp noise.gif);
unlink map { "$top/$_" } keys %good;

my @BROKEN = (415, 422);
my @ANY    = (200, 413, 415, 422);

# What begins well and ends too early.
for my $name (sort keys %good) {
    my $len = length $good{$name};
    for (my $at = 1024 ; $at < $len - 1024 ; $at += 1024) {
        $file{"cut-$at-$name"} = [ substr($good{$name}, 0, $at), $name =~ /gif/ ? @ANY : @BROKEN ];
    }
    $file{"cut-$_-$name"} = [ substr($good{$name}, 0, $_), @BROKEN ] for 1, 4, 12, 33;
}

# What has a few bytes changed.
for my $name (sort keys %good) {
    for my $n (1 .. 16) {
        my $bytes = $good{$name};
        substr($bytes, 12 + int rand(length($bytes) < 400 ? 100 : 400), 1) = chr int rand 256 for 1 .. 3;
        $file{"changed-$n-$name"} = [ $bytes, @ANY ];
    }
    $file{"junk-$name"} = [ substr($good{$name}, 0, 40) . join('', map { chr int rand 256 } 1 .. 5000), @BROKEN ];
}

sub chunk ($type, $data)
{
    return pack('N', length $data) . $type . $data . pack('N', crc32($type . $data));
}

# A PNG that says it has this size.
our $interlace = 0;

sub png ($width, $height, $depth, $colour, $data, @before)
{
    return "\x89PNG\r\n\x1a\n"
      . chunk('IHDR', pack 'NNCCCCC', $width, $height, $depth, $colour, 0, 0, $interlace)
      . join('', @before)
      . chunk('IDAT', compress($data))
      . chunk('IEND', '');
}

# Bombs: small files, large pictures.
my @sizes = ([ 32_768, 32_768 ], [ 100_000, 10_000 ], [ 1, 2_000_000_000 ], [ 2_147_483_647, 2_147_483_647 ]);
$file{"bomb-$_->[0]-$_->[1].png"} = [ png(@$_, 8, 2, "\0" x 100_000), 413, 422 ] for @sizes;
$file{'bomb-bits.png'} = [ png(60_000, 60_000, 1, 0, "\0" x 1_000_000), 413, 422 ];
$file{'bomb.gif'}      = [ "GIF89a\xff\xff\xff\xff\xf7\0\0" . "\0" x 768 . ",\0\0\0\0\xff\xff\xff\xff\0\x08\x02D\x01\0;", 413, 422 ];
for my $name (qw(noise.jpg progressive.jpg)) {
    my $bytes = $good{$name};
    $bytes =~ s/(\xff[\xc0\xc2]\0\x11\x08)..../$1\xfd\xe8\xfd\xe8/s or die;
    $file{"bomb-$name"} = [ $bytes, 413 ];
}
# As many pixels as are taken, in an order in which none can be had before the last.
{
    local $interlace = 1;
    $file{'interlaced.png'} = [ png(5000, 5000, 8, 2, "\0" x (5000 * 5000 * 3 + 20_000)), 200 ];
}

# Metadata that leads nowhere.
sub with_segment ($marker, $data)
{
    my $bytes = $good{'noise.jpg'};
    substr($bytes, 2, 0) = "\xff$marker" . pack('n', 2 + length $data) . $data;
    return $bytes;
}
my $loop = "Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08";
$file{'exif-loop.jpg'}    = [ with_segment("\xe1", $loop), 200, 422 ];
$file{'exif-far.jpg'}     = [ with_segment("\xe1", "Exif\0\0II*\0\xff\xff\xff\xff"), 200, 422 ];
$file{'exif-wrong.jpg'}   = [ with_segment("\xe1", "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"), 200, 422 ];
$file{'icc-junk.jpg'}     = [ with_segment("\xe2", "ICC_PROFILE\0\x01\x01" . 'x' x 500), 200, 422 ];
$file{'icc-lies.jpg'}     = [ with_segment("\xe2", "ICC_PROFILE\0\x05\xff" . pack('N', 0xffffffff) . "\0" x 200), 200, 422 ];
$file{'icc-junk.png'}     = [ png(4, 4, 8, 2, "\0" x 52, chunk('iCCP', "x\0\0" . compress('y' x 3000))), 200, 422 ];
$file{'text-bomb.png'}    = [ png(4, 4, 8, 2, "\0" x 52, chunk('zTXt', "a\0\0" . compress("\0" x 20_000_000))), 200, 422 ];

# What is small, large or rare, and good.
$file{'one.png'}   = [ png(1, 1, 8, 2, "\0\1\2\3"), 200 ];
$file{'wide.png'}  = [ png(65_535, 1, 8, 0, "\0" x 65_536), 400 ];
$file{'high.png'}  = [ png(1, 65_535, 8, 0, "\0" x (2 * 65_535)), 200 ];
$file{'deep.png'}  = [ png(4, 4, 16, 6, "\0" x (4 * 33)), 200 ];
$file{'bits.png'}  = [ png(9, 9, 1, 0, "\0" x 27), 200 ];
$file{'none.png'}  = [ png(0, 0, 8, 2, ''), @BROKEN ];

# What is something else.
$file{'a.svg'}      = [ '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 415 ];
$file{'a.pdf'}      = [ "%PDF-1.4\n" . 'x' x 100, 415 ];
$file{'a.tif'}      = [ "II*\0\x08\0\0\0" . "\0" x 100, 415 ];
$file{'a.bmp'}      = [ 'BM' . "\0" x 100, 415 ];
$file{'a.ps'}       = [ "%!PS\n" . 'x' x 100, 415 ];
$file{'a.mvg'}      = [ "push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'\n" . ' ' x 50, 415 ];
$file{'a.heic'}     = [ "\0\0\0\x18ftypheic\0\0\0\0" . "\0" x 100, 415 ];
$file{'a.avif'}     = [ "\0\0\0\x18ftypavif\0\0\0\0" . "\0" x 100, @BROKEN ];
$file{'huge.avif'}  = [ "\0\0\0\x18ftypavif\0\0\0\0" . "\xff" x 3000, @BROKEN ];
$file{'mixed.jpg'}  = [ "\xff\xd8\xff" . $good{'noise.png'}, @BROKEN ];
$file{'mixed.png'}  = [ "\x89PNG\r\n\x1a\n" . $good{'noise.jpg'}, @BROKEN ];
$file{'mixed.webp'} = [ "RIFF\0\0\0\0WEBP" . '<svg xmlns="http://www.w3.org/2000/svg"/>', @BROKEN ];
$file{'empty.png'}  = [ '', 415 ];
$file{'zeros.png'}  = [ "\0" x 100_000, 415 ];

spew("$top/$_", $file{$_}[0]) for keys %file;
cmp_ok scalar keys %file, '>=', 200, 'there are enough of them';

my $server = server(<<~CONF);
    workers: 1
    helpers: { images: 1 }
    limits: { images: { time: 60s }, deadline: 60s }
    routes:
      GET /i/{path...}:
        files: $top
        images: on
        query: { w: 20, fm: null, rot: null }
    CONF

wait_for('it to work', sub { $server->get('/i/one.png')->status == 200 });
my ($helper) = $server->helpers;
my %seen;
for my $name (sort keys %file) {
    my (undef, @may) = $file{$name}->@*;
    my $response = $server->get("/i/$name?w=20&rot=90&fm=jpg");
    my $status   = $response->status;
    $seen{$status}++;
    next if grep { $_ == $status } @may;
    fail "$name: $status, not one of @may";
    diag $response->body if $status >= 400;
}
pass join ', ', map { "$seen{$_} answered $_" } sort keys %seen;
is $server->get('/i/one.png')->status, 200, 'it goes on';
subtest 'processes and their memory' => sub {
    plan skip_all => 'built with sanitizers' if slurp($Hayfork::Test::HAYFORK) =~ /__asan_init/;
    is_deeply [ $server->helpers ], [$helper], 'the helper lives, and is the same one';
    my ($worker) = $server->workers;
    my %most = map { slurp("/proc/$_/status") =~ /^VmHWM:\s+(\d+) kB$/m ? ($_ => $1) : () } $helper, $worker;
    cmp_ok $most{$helper}, '<', 900_000, "it never had more memory than a picture may take ($most{$helper} KB)";
    cmp_ok $most{$worker}, '<', 120_000, "nor has a worker much ($most{$worker} KB)";
};
like $server->log, qr{warn worker 1.*GET /i/\{path\.\.\.\}: 422: \S.* \(request [^)]+\)}, 'the log says what is wrong';
unlike $server->log, qr/ error /, 'nothing is an error of the server';
is $server->stop, 'exit 0';
done_testing;
