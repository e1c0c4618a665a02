# Routes with `images`: sizes, parts, colours and formats of what is made, looked at by other means than libvips.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Picture qw(needs_images draw ramp decode worst_difference mean_difference magick);
use Hayfork::Test::Process qw(slurp spew temporary_folder);

needs_images;

my $top = temporary_folder();
my ($WIDTH, $HEIGHT) = (360, 240);
draw("$top/ramp.png", $WIDTH, $HEIGHT, ramp($WIDTH, $HEIGHT));
magick("$top/ramp.png", "$top/ramp.gif");
magick("$top/ramp.png", '-quality', 95, "$top/ramp.jpg");
magick("$top/ramp.png", '-quality', 95, '-interlace', 'JPEG', "$top/progressive.jpg");
magick("$top/ramp.png", '-quality', 95, "$top/ramp.webp");
spew("$top/ramp.txt",         slurp("$top/ramp.png"));
spew("$top/not-a-picture.png", "<svg xmlns='http://www.w3.org/2000/svg'/>" . ' ' x 100);

my $server = server(<<~CONF);
    workers: 1
    helpers: { images: 1 }
    routes:
      GET /i/{path...}:
        files: $top
        images: on
      GET /closed/{path...}:
        files: $top
        images: on
        query: { w: { default: 60, max: 100 }, fm: { one_of: [jpg, png] }, h: { required: true } }
      GET /named/{path...}:
        files: $top
        images: { presets: { small: { w: 30, fm: png }, square: { w: 40, h: 40, fit: crop, crop: left } } }
      GET /both/{path...}:
        files: $top
        images: { presets: { small: { w: 30, fm: png } } }
        query: { w: { max: 50 }, q: 80, fm: jpg }
      GET /loose/{path...}:
        files: $top
        images: on
        query: { w: 60 }
        unknown_query: ignore
    CONF

sub picture ($target)
{
    my $response = $server->get($target);
    is $response->status, 200, "$target: status" or diag $response->body;
    return decode($response->body);
}

# The ramp between these places of the original, at this size.
sub window ($left, $top_, $right, $bottom, $width, $height)
{
    return sub ($x, $y) {
        my $at_x = $left + ($x + 0.5) * ($right - $left) / $width - 0.5;
        my $at_y = $top_ + ($y + 0.5) * ($bottom - $top_) / $height - 0.5;
        return [ $at_x * 255 / ($WIDTH - 1), $at_y * 255 / ($HEIGHT - 1), 128 ];
    };
}

# Is what comes of the ramp of this size, and shows that part of it?
sub shows ($query, $size, $part, $name, $file = 'ramp.png')
{
    my $is_exact = $file =~ /png|txt/;    # other formats have fewer colours, or leave something out
    subtest "$name: $query" => sub {
        my $got = picture("/i/$file?$query");
        is "$got->{width}x$got->{height}", $size, 'size';
        my ($width, $height) = split /x/, $size;
        my $want = window(@$part, $width, $height);
        cmp_ok worst_difference($got, $want), '<=', $is_exact ? 4 : 16, 'the part of the original';
        cmp_ok mean_difference($got, $want), '<=', $is_exact ? 1.5 : 3, '… all in all';
    };
}

my @all = (0, 0, $WIDTH, $HEIGHT);
shows('',                              '360x240', \@all,                'as it is');
shows('w=100',                         '100x67',  \@all,                'a width');
shows('h=60',                          '90x60',   \@all,                'a height');
shows('w=100&h=100',                   '100x67',  \@all,                'both: within');
shows('w=100&h=100&fit=clip',          '100x67',  \@all,                'clip');
shows('w=720&h=500&fit=clip',          '720x480', \@all,                'clip enlarges');
shows('w=720&h=500&fit=max',           '360x240', \@all,                'max does not');
shows('w=100&h=100&fit=max',           '100x67',  \@all,                'max within');
shows('w=50&h=200&fit=scale',          '50x200',  \@all,                'scale');
shows('w=100&h=100&fit=crop',          '100x100', [ 60, 0, 300, 240 ],  'crop, the middle');
shows('w=100&h=100&fit=crop&crop=center', '100x100', [ 60, 0, 300, 240 ], 'crop, the middle by name');
shows('w=100&h=100&fit=crop&crop=left',  '100x100', [ 0, 0, 240, 240 ],   'crop, left');
shows('w=100&h=100&fit=crop&crop=right', '100x100', [ 120, 0, 360, 240 ], 'crop, right');
shows('w=180&h=60&fit=crop&crop=top',    '180x60',  [ 0, 0, 360, 120 ],   'crop, top');
shows('w=180&h=60&fit=crop&crop=bottom', '180x60',  [ 0, 120, 360, 240 ], 'crop, bottom');
shows('w=180&h=60&fit=crop&crop=bottom,left', '180x60', [ 0, 120, 360, 240 ], 'crop, a corner');
shows('w=480&h=480&fit=crop',          '480x480', [ 60, 0, 300, 240 ],  'crop enlarges');
shows('w=480&h=480&fit=min',           '240x240', [ 60, 0, 300, 240 ],  'min does not');
shows('w=60&h=60&fit=min',             '60x60',   [ 60, 0, 300, 240 ],  'min cuts');
shows('w=50&dpr=2',                    '100x67',  \@all,                'pixels of a finer screen');
shows('w=90&flip=h',                   '90x60',   [ 360, 0, 0, 240 ],   'mirrored');
shows('w=90&flip=v',                   '90x60',   [ 0, 240, 360, 0 ],   'upside down');
shows('w=90&rot=180',                  '90x60',   [ 360, 240, 0, 0 ],   'turned by half');
shows('w=100&fm=png',                  '100x67',  \@all,                'of a GIF', 'ramp.gif');
shows('w=100&fm=png',                  '100x67',  \@all,                'of a JPEG', 'ramp.jpg');
shows('w=100&fm=png',                  '100x67',  \@all,                'of a progressive JPEG', 'progressive.jpg');
shows('w=100&fm=png',                  '100x67',  \@all,                'whatever its name', 'ramp.txt');

subtest 'a quarter turn' => sub {
    my $got = picture('/i/ramp.png?rot=90&w=60');
    is "$got->{width}x$got->{height}", '60x90', 'width and height are those of the answer';
    cmp_ok worst_difference($got, sub ($x, $y) { [ ($y + 0.5) * 255 / 90, 255 - ($x + 0.5) * 255 / 60, 128 ] }), '<=', 4,
      'clockwise';
};

subtest 'what is around it' => sub {
    my $got = picture('/i/ramp.png?w=90&h=90&fit=fill&bg=f08');
    is "$got->{width}x$got->{height}", '90x90', 'size';
    is_deeply $got->{pixels}[$_->[1]][$_->[0]], [ 255, 0, 136, 255 ], "background at @$_" for [ 0, 0 ], [ 45, 14 ], [ 89, 89 ];
    cmp_ok abs($got->{pixels}[45][45][0] - 128), '<=', 4, 'the picture in the middle';
    is_deeply picture('/i/ramp.png?w=90&h=90&fit=fill')->{pixels}[0][0], [ 255, 255, 255, 255 ], 'white, if not said';
    is_deeply picture('/i/ramp.png?w=90&h=90&fit=fill&bg=8000')->{pixels}[0][0][3], 136, 'half transparent';
};

subtest 'the part with something in it' => sub {
    draw("$top/corner.png", 300, 100, sub ($x, $y) { $x > 220 && ($x + $y) % 8 < 4 ? [ 250, 40, 40 ] : [ 60, 60, 60 ] });
    for my $by (qw(entropy attention)) {
        my $got = picture("/i/corner.png?w=100&h=100&fit=crop&crop=$by");
        is "$got->{width}x$got->{height}", '100x100', "$by: size";
        cmp_ok scalar(grep { $got->{pixels}[50][$_][0] > 150 } 0 .. 99), '>=', 20, "$by: found";
    }
};

subtest 'blur' => sub {
    draw("$top/edge.png", 200, 100, sub ($x, $y) { $x < 100 ? [ 0, 0, 0 ] : [ 255, 255, 255 ] });
    for my $blur (8, 30, 90) {
        my $got    = picture("/i/edge.png?blur=$blur");
        my $spread = grep { my $red = $got->{pixels}[50][$_][0]; $red > 41 && $red < 214 } 0 .. 199;
        my $sigma  = $blur / 3;    # 16 % and 84 % are one sigma from the edge
        cmp_ok abs($spread - 2 * $sigma), '<=', 2 + 2 * $sigma * 0.12, "blur=$blur is as wide as it says ($spread)";
    }
    my $half = $server->get('/i/edge.png?blur=2000');
    is $half->status, 200, 'as wide as it can be';
};

subtest 'formats' => sub {
    my %magic = (jpg => 'JPEG', png => 'PNG', webp => 'WEBP');
    my %type  = (jpg => 'image/jpeg', png => 'image/png', webp => 'image/webp');
    for my $fm (sort keys %magic) {
        my $response = $server->get("/i/ramp.png?w=90&fm=$fm");
        is $response->header('Content-Type'), $type{$fm}, "$fm: type";
        my $got = decode($response->body);
        is $got->{format}, $magic{$fm}, "$fm: bytes";
        cmp_ok mean_difference($got, window(@all, 90, 60)), '<=', 3, "$fm: picture";
        is $server->get("/i/ramp.$_?w=20")->header('Content-Type'), $type{$_}, "$_ stays $_" for $fm;
    }
    is $server->get('/i/ramp.gif?w=20')->header('Content-Type'), 'image/png', 'GIF becomes PNG';
    cmp_ok length($server->get('/i/ramp.jpg?q=10')->body), '<', length($server->get('/i/ramp.jpg?q=90')->body) / 2, 'quality';
    my $avif = $server->get('/i/ramp.png?w=90&fm=avif');
    if ($avif->status == 200) {
        is $avif->header('Content-Type'), 'image/avif', 'avif: type';
        is substr($avif->body, 4, 8), 'ftypavif', 'avif: bytes';
        spew("$top/ramp.avif", $avif->body);
        shows('w=45&fm=png', '45x30', \@all, 'of an AVIF', 'ramp.avif');
    } else {
        problem_is $avif, 400, { parameter => 'fm' }, 'no AVIF in this libvips';
    }
};

subtest 'the format that the client takes' => sub {
    my $best = $server->get('/i/ramp.jpg?w=90&fm=avif')->status == 200 ? 'image/avif' : 'image/webp';
    my %want = (
        'image/avif,image/webp,*/*'    => $best,
        'image/webp,image/*;q=0.8'     => 'image/webp',
        'image/webp;q=0, */*'          => 'image/jpeg',
        '*/*'                          => 'image/jpeg',
        'text/html, IMAGE/WEBP ; q=.1' => 'image/webp',
    );
    for my $accept (sort keys %want) {
        my $response = $server->get('/i/ramp.jpg?w=90&auto=format', headers => { Accept => $accept });
        is $response->header('Content-Type'), $want{$accept}, $accept;
        is $response->header('Vary'),         'Accept',       '… and caches are told';
    }
    is $server->get('/i/ramp.jpg?w=90')->header('Vary'), undef, 'not where it does not depend on it';
};

subtest 'colours and orientation' => sub {
    for my $orientation (1 .. 8) {
        my $file = "$top/turned$orientation.jpg";
        magick("$top/ramp.png", '-orient', (qw(TopLeft TopRight BottomRight BottomLeft LeftTop RightTop RightBottom LeftBottom))[ $orientation - 1 ],
            '-quality', 98, $file);
        # ImageMagick writes no EXIF of its own: APP1 with the orientation is put in front.
        my $bytes = slurp($file);
        my $exif  = "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" . pack('n', $orientation) . "\0\0\0\0\0\0";
        substr($bytes, 2, 0) = "\xff\xe1" . pack('n', 2 + length $exif) . $exif;
        spew($file, $bytes);
        my $swaps = $orientation > 4;
        my $got   = picture("/i/turned$orientation.jpg?fm=png&" . ($swaps ? 'h=90' : 'w=90'));
        is "$got->{width}x$got->{height}", $swaps ? '60x90' : '90x60', "orientation $orientation: size";
        # where the corner lies that is the first one in the file
        my ($right, $bottom) = ([ 0, 0 ], [ 1, 0 ], [ 1, 1 ], [ 0, 1 ], [ 0, 0 ], [ 1, 0 ], [ 1, 1 ], [ 0, 1 ])[ $orientation - 1 ]->@*;
        my $corner = $got->{pixels}[ $bottom ? -1 : 0 ][ $right ? -1 : 0 ];
        ok $corner->[0] < 12 && $corner->[1] < 12, "orientation $orientation: the first corner" or diag "@$corner";
    }
    magick("$top/ramp.png", '-colorspace', 'CMYK', '-quality', 95, "$top/cmyk.jpg");
    is picture('/i/cmyk.jpg?w=90')->{format}, 'JPEG', 'CMYK is taken';
    magick("$top/ramp.png", '-colorspace', 'Gray', "$top/gray.png");
    is picture('/i/gray.png?w=90&h=90&fit=fill&bg=ff0000')->{pixels}[0][0][0], 255, 'grey gets a coloured frame';
    magick("$top/ramp.png", '-depth', 16, "$top/deep.png");
    cmp_ok worst_difference(picture('/i/deep.png?w=90'), window(@all, 90, 60)), '<=', 4, '16 bits';
    magick('-size', '40x20', 'xc:none', '-fill', 'red', '-draw', 'rectangle 0,0 19,19', "PNG32:$top/clear.png");
    is_deeply picture('/i/clear.png?fm=jpg&q=100')->{pixels}[10][35], [ 255, 255, 255, 255 ], 'transparent is white in a JPEG';
    is picture('/i/clear.png?w=20')->{pixels}[5][15][3], 0, '… and stays so elsewhere';
    is picture('/i/clear.png?w=20&blur=9')->{pixels}[5][19][3], 0, '… when it is blurred';
    cmp_ok picture('/i/clear.png?blur=9')->{pixels}[10][20][0], '>=', 240, '… with nothing of its colour';
};

subtest 'what is refused' => sub {
    problem_is $server->get("/i/ramp.png?$_->[0]"), 400, { parameter => $_->[1] }, $_->[0]
      for [ 'w=0', 'w' ], [ 'w=abc', 'w' ], [ 'w=', 'w' ], [ 'w=65536', 'w' ], [ 'w=1.5', 'w' ], [ 'h=-1', 'h' ], [ 'fit=squash', 'fit' ],
      [ 'fm=gif', 'fm' ], [ 'q=0', 'q' ], [ 'q=101', 'q' ], [ 'blur=2001', 'blur' ], [ 'dpr=0', 'dpr' ], [ 'dpr=6', 'dpr' ], [ 'rot=45', 'rot' ],
      [ 'flip=x', 'flip' ], [ 'bg=red', 'bg' ], [ 'bg=12345', 'bg' ], [ 'auto=compress', 'auto' ], [ 'crop=top,bottom', 'crop' ],
      [ 'crop=entropy,top', 'crop' ], [ 'crop=', 'crop' ], [ 'width=10', 'width' ], [ 'w=%zz', 'w' ], [ 'w=10&x', 'x' ],
      [ 'w=20000&h=20000&fit=scale', 'w' ], [ 'w=16384&h=1&fit=scale&fm=webp', 'w' ];
    problem_is $server->get('/i/not-a-picture.png'), 415, {}, 'no picture';
    problem_is $server->get('/i/none.png?w=10'), 404, {}, 'no file';
    problem_is $server->get('/closed/ramp.png?h=60&w=101'), 400, { parameter => 'w' }, 'beyond the bound of the route';
    problem_is $server->get('/closed/ramp.png?h=60&fm=webp'), 400, { parameter => 'fm' }, 'none of those that it has';
    problem_is $server->get('/closed/ramp.png?h=60&blur=1'), 400, { parameter => 'blur' }, 'one that it does not have';
    problem_is $server->get('/closed/ramp.png?w=10'), 400, { parameter => 'h' }, 'one that it requires';
    problem_is $server->get('/closed/ramp.png?h=60&h=50'), 400, { parameter => 'h' }, 'one twice';
    is picture('/closed/ramp.png?h=60')->{width}, 60, 'a default';
    is picture('/loose/ramp.png?w=30&blur=1&utm=2')->{width}, 30, 'unknown ones are ignored where the conf says so';
    is decode($server->get('/closed/ramp.png?h=%360&w=3%30')->body)->{width}, 30, 'values may be percent-encoded';
};

subtest 'presets' => sub {
    is picture('/named/ramp.jpg?preset=small')->{format}, 'PNG', 'one by its name';
    my $square = picture('/named/ramp.png?preset=square');
    cmp_ok worst_difference($square, window(0, 0, 240, 240, 40, 40)), '<=', 4, '… and another one';
    problem_is $server->get('/named/ramp.png'), 400, { parameter => 'preset' }, 'none';
    problem_is $server->get('/named/ramp.png?preset=large'), 400, { parameter => 'preset' }, 'one that there is not';
    problem_is $server->get('/named/ramp.png?preset=small&preset=small'), 400, { parameter => 'preset' }, 'two';
    problem_is $server->get('/named/ramp.png?preset=small&w=10'), 400, { parameter => 'w' }, 'nothing else, where query has nothing';
    problem_is $server->get('/i/ramp.png?preset=small'), 400, { parameter => 'preset' }, 'no parameter where there are none';
    my $both = picture('/both/ramp.jpg?preset=small');
    is "$both->{width} $both->{format}", '30 PNG', 'a preset comes before the defaults of query';
    is picture('/both/ramp.jpg?preset=small&w=20')->{width}, 20, '… and after what the client says';
    problem_is $server->get('/both/ramp.jpg?preset=small&w=60'), 400, { parameter => 'w' }, '… within the bounds';
    is picture('/both/ramp.png')->{format}, 'JPEG', 'query can do without';
};

subtest 'hayfork -T' => sub {
    my $conf  = "routes:\n  GET /{path...}:\n    files: $top\n    images: { presets: { a: { w: 3, bg: \"000\" }, b: {} } }\n    query: { h: 5 }\n";
    my $first = hayfork('-T', '-c', spew("$top/presets.conf", $conf));
    like $first->{stdout}, qr/images:\n +presets:\n +a:\n +w: 3\n +bg: 000\n +b: \{\}\n +query:\n +h: 5\n/, 'presets and query';
    is hayfork('-T', '-c', spew("$top/presets.conf", $first->{stdout}))->{stdout}, $first->{stdout}, '… which means the same';
};

subtest 'tags, conditions, parts and HEAD' => sub {
    my $whole = $server->get('/i/ramp.png?w=90');
    my $tag   = $whole->header('ETag');
    like $tag, qr/^"[0-9a-f]{32}"$/, 'a tag';
    is $server->get('/i/ramp.png?w=90')->header('ETag'), $tag, 'the same for the same';
    isnt $server->get('/i/ramp.png?w=91')->header('ETag'), $tag, 'another one for another size';
    isnt $server->get('/i/ramp.jpg?w=90')->header('ETag'), $tag, '… and for another file';
    is $whole->header('Last-Modified'), undef, 'no time: that would be the original\'s';
    my $same = $server->get('/i/ramp.png?w=90', headers => { 'If-None-Match' => $tag });
    is $same->status, 304, 'If-None-Match';
    is $same->header('ETag'), $tag, '… with the tag';
    is $server->get('/i/ramp.png?w=90', headers => { 'If-None-Match' => '"x"' })->status, 200, 'another tag';
    is $server->get('/i/ramp.png?w=90', headers => { 'If-Match' => '"x"' })->status, 412, 'If-Match';
    is $server->get('/i/ramp.png?w=90', headers => { 'If-Match' => $tag })->status, 200, '… with its tag';
    my $part = $server->get('/i/ramp.png?w=90', headers => { Range => 'bytes=1-3', 'If-Range' => $tag });
    is $part->status, 206, 'a part';
    is $part->body, 'PNG', '… of the picture';
    is $part->header('Content-Range'), 'bytes 1-3/' . length $whole->body, '… as it says';
    is $server->get('/i/ramp.png?w=90', headers => { Range => 'bytes=9999999-' })->status, 416, 'no such part';
    my $head = $server->request(HEAD => '/i/ramp.png?w=90');
    is $head->status, 200, 'HEAD';
    is $head->header('Content-Length'), length $whole->body, '… has the length';
    is $head->header('ETag'), $tag, '… and the tag';
    is $head->body, '', '… and no body';
    spew("$top/changing.png", slurp("$top/ramp.png"));
    my $before = $server->get('/i/changing.png?w=10')->header('ETag');
    magick("$top/ramp.png", '-negate', "$top/changing.png");
    my $after = $server->get('/i/changing.png?w=10', headers => { 'If-None-Match' => $before });
    is $after->status, 200, 'a changed original is another picture';
    cmp_ok decode($after->body)->{pixels}[0][0][0], '>', 200, '… as it is now';
};

is $server->stop, 'exit 0';

subtest 'the sample' => sub {
    my $sample = "$Hayfork::Test::TOP_SRCDIR/conf/images.conf";
    my $run    = hayfork('-t', '-c', $sample);
    is $run->{exit}, 'exit 0', 'it is good';
    is $run->{stderr}, '', '… and there is nothing to warn of';
    my $text = slurp($sample) =~ s/^listen:.*$//mr =~ s{files: pictures}{files: $Hayfork::Test::TOP_SRCDIR/conf/pictures}r;
    $server = server($text);
    is picture("/pictures/$_.jpg?w=32&h=32&fit=crop&fm=png")->{width}, 32, $_ for qw(lake night flower);
    problem_is $server->get('/pictures/lake.jpg?w=4096'), 400, { parameter => 'w' }, 'its bounds hold';
    is $server->stop, 'exit 0';
};
done_testing;
