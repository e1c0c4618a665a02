# Routes with `files`: what lies in a folder, whole or in part, and nothing that lies elsewhere.
use v5.36;

use Hayfork::Test;

use Digest::SHA qw(sha256_hex);
use POSIX qw(mkfifo strftime);
use Time::HiRes qw(sleep utime);

use Hayfork::Test::Process qw(at_rest descriptors slurp spew temporary_folder wait_for);

my $top    = temporary_folder();
my $public = "$top/public";
my $SECRET = "SECRET: nobody is to read this\n";

mkdir $_ or die "$_: $!"
  for $public, map({ "$public/$_" } qw(sub sub/deep empty app .git dir-index dir-index/index.html)), "$top/public2";
my %content = (
    'index.html'     => "<h1>Hello</h1>\n",
    'style.css'      => "a { color: red }\n",
    'app.js'         => "export {}\n",
    'data.json'      => "{}\n",
    'logo.svg'       => "<svg/>\n",
    'photo.JPG'      => join('', map { chr(($_ * 7 + ($_ >> 8)) & 255) } 1 .. 300_000),
    'archive.tar.gz' => "not really\n",
    'module.wasm'    => "\0asm",
    'font.woff2'     => 'wOF2',
    'README'         => "read me\n",
    'a b.txt'        => "with a blank\n",
    "caf\xC3\xA9.md" => "# coffee\n",
    '100%.txt'       => "all\n",
    'empty.txt'      => '',
    '..x'            => "a dot file\n",
    'sub/index.html' => "<h1>Sub</h1>\n",
    'sub/page.html'  => "<p>\n",
    'sub/.htaccess'  => "Deny from all\n",
    'app/index.html' => "<h1>App</h1>\n",
    'app/main.js'    => "start()\n",
    '.hidden'        => "hidden\n",
    '.git/config'    => "[core]\n",
);
spew("$public/$_", $content{$_}) for keys %content;
spew("$top/secret.txt",         $SECRET);
spew("$top/public2/secret.txt", $SECRET);

# A conf with a route for each way to serve the folder.
my $CONF = <<~CONF;
    workers: 2
    routes:
      GET /static/{path...}:
        files: $public
        headers: { Cache-Control: max-age=60 }
      GET /app/{path...}:
        files: $public/app
        fallback: index.html
      GET /pages/{path...}: { files: $public/sub, index: page.html, headers: { Content-Type: text/plain } }
      GET /{path...}: { files: $public }
    CONF
my $server = server($CONF);
my $client = $server->client;

sub link_to ($target, $name) { return symlink $target, "$public/$name" or die "$name: $!" }

subtest 'a file, with its type' => sub {
    for my $row (
        [ 'index.html',     'index.html',     'text/html; charset=utf-8' ],
        [ '',               'index.html',     'text/html; charset=utf-8' ],
        [ 'style.css',      'style.css',      'text/css; charset=utf-8' ],
        [ 'app.js',         'app.js',         'text/javascript; charset=utf-8' ],
        [ 'data.json',      'data.json',      'application/json' ],
        [ 'logo.svg',       'logo.svg',       'image/svg+xml' ],
        [ 'photo.JPG',      'photo.JPG',      'image/jpeg' ],
        [ 'archive.tar.gz', 'archive.tar.gz', 'application/gzip' ],
        [ 'module.wasm',    'module.wasm',    'application/wasm' ],
        [ 'font.woff2',     'font.woff2',     'font/woff2' ],
        [ 'README',         'README',         'application/octet-stream' ],
        [ 'empty.txt',      'empty.txt',      'text/plain; charset=utf-8' ],
        [ 'a%20b.txt',      'a b.txt',        'text/plain; charset=utf-8' ],
        [ 'caf%C3%A9.md',   "caf\xC3\xA9.md", 'text/markdown; charset=utf-8' ],
        [ '100%25.txt',     '100%.txt',       'text/plain; charset=utf-8' ],
        [ '%73ub/page.html?a=b', 'sub/page.html', 'text/html; charset=utf-8' ],
        [ 'sub/',           'sub/index.html', 'text/html; charset=utf-8' ],
        [ 'sub/?a=/../b',   'sub/index.html', 'text/html; charset=utf-8' ],
      ) {
        my ($path, $file, $type) = @$row;
        for my $prefix ('/static/', '/') {
            my $response = $client->get("$prefix$path");
            is $response->status, 200, "$prefix$path";
            ok $response->body eq $content{$file}, '… is the file';
            header_is $response, 'Content-Type',   $type;
            header_is $response, 'Content-Length', length $content{$file};
            header_is $response, 'Accept-Ranges',  'bytes';
            header_is $response, 'Last-Modified', strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime((stat "$public/$file")[9]));
            like $response->header('ETag'), qr/^"[0-9a-f]+-[0-9a-f]+"$/, 'ETag: strong';
            header_is $response, 'Cache-Control', $prefix eq '/' ? undef : 'max-age=60';
        }
    }
};

subtest 'HEAD is GET without the body' => sub {
    for my $path (qw(/index.html / /photo.JPG /empty.txt /sub /sub/ /nowhere /app/nowhere /.git/config /pages/)) {
        my ($get, $head) = map { $client->request($_, $path) } qw(GET HEAD);
        is $head->status, $get->status, $path;
        is $head->body,   '',           '… no body';
        is_deeply [ map { $head->header($_) } $head->names ], [ map { $head->header($_) } $get->names ], '… the same head';
    }
};

subtest 'no other method' => sub {
    for my $method (qw(POST PUT PATCH DELETE)) {
        my $response = $client->request($method, '/index.html');
        is $response->status, 405, $method;
        header_is $response, 'Allow', 'GET, HEAD, OPTIONS';
    }
};

subtest 'a folder is its index, under a path that ends in a slash' => sub {
    for my $row (
        [ '/sub',              '/sub/' ],
        [ '/static/sub?a=b&c', '/static/sub/?a=b&c' ],
        [ '/static/sub?',      '/static/sub/?' ],
        [ '/%73ub',            '/%73ub/' ],
        [ '/empty',            '/empty/' ],
        [ '/sub/deep',         '/sub/deep/' ],
      ) {
        my ($path, $location) = @$row;
        my $response = $client->get($path);
        is $response->status, 301, $path;
        header_is $response, 'Location', $location;
        is $response->body, '', '… without a body';
    }
    problem_is $client->get($_), 404, {}, "$_ has no index, and no list of what is in it"
      for qw(/empty/ /static/empty/ /sub/deep/ /dir-index/ /index.html/ /style.css/);
    is $client->get('/pages/')->body, "<p>\n", 'index names another file';
    header_is $client->get('/pages/'), 'Content-Type', 'text/plain', 'headers has another type';
};

subtest 'what is not there is 404' => sub {
    problem_is $client->get($_), 404, {}, $_ for qw(/nowhere /sub/nowhere /nowhere/ /style.css/x /Index.html /index.htm),
      '/' . 'x' x 255, '/' . 'x' x 300, '/' . 'x/' x 2500;
    header_is $client->get('/static/nowhere'), 'Cache-Control', 'max-age=60', 'headers go on errors, too';
};

# Whatever is asked for, and however: it is not there, and the next request on the connection is answered.
subtest 'nothing outside of the folder, no dot files' => sub {
    link_to($_->[0], $_->[1])
      for [ '../secret.txt', 'out' ], [ '..', 'parent' ], [ '../public2', 'beside' ], [ "$top/secret.txt", 'absolute' ],
      [ '/etc/passwd', 'passwd' ], [ '/', 'root' ], [ '../../secret.txt', 'sub/out' ], [ 'out', 'twice' ],
      [ '/proc/self/root', 'proc' ], [ 'loop', 'loop' ], [ 'sub/../../secret.txt', 'crooked' ];
    my $up = '../' x 20;
    my @paths = (
        '..', '../', '../secret.txt', '../public/index.html', '../public2/secret.txt',
        '../../../etc/passwd', "${up}etc/passwd", 'sub/../../secret.txt', 'sub/../index.html', 'sub/..',
        'sub/../', './index.html', 'sub/./page.html', '.', './', '...', '.../secret.txt', '/secret.txt',
        '/etc/passwd', '//etc/passwd', 'sub//page.html', '/', 'index.html//', '%2e%2e/secret.txt',
        '%2E%2E/secret.txt', '.%2e/secret.txt', '%2e./secret.txt', '%2e%2e%2fsecret.txt', '..%2fsecret.txt',
        '..%2Fsecret.txt', 'sub%2fpage.html', 'sub%2F..%2F..%2Fsecret.txt', '%2fetc%2fpasswd',
        '%2Fetc/passwd', '%252e%252e/secret.txt', '%252e%252e%252fsecret.txt', '..%252fsecret.txt',
        '..%5csecret.txt', '..%5Csecret.txt', 'sub%5cpage.html', '..\\secret.txt',
        '%c0%ae%c0%ae/secret.txt', '%e0%80%ae%e0%80%ae/secret.txt', '..%c0%afsecret.txt',
        '..%ef%bc%8fsecret.txt', '..%u2215secret.txt', '%u002e%u002e/secret.txt', '..%00/secret.txt',
        '..;/secret.txt', '..%3b/secret.txt', 'index.html%00', 'index.html%00.txt', '%00', 'index.html%0a',
        'index.html%0d%0aX-Y:%20z', 'index.html%20', 'index.html.', 'index.html~', 'index.html::$DATA', '%',
        'index.html%', 'index.html%2', '%zz', '..%', '.hidden', '%2ehidden', '.git', '.git/', '.git/config',
        '.git%2fconfig', '%2egit/config', 'sub/.htaccess', 'sub/%2ehtaccess', '..x', '%2e.x',
        'static/.git/config', 'out', 'out/', 'parent', 'parent/', 'parent/secret.txt',
        'parent/public/index.html', 'beside/secret.txt', 'absolute', 'passwd', 'root/etc/passwd', 'sub/out',
        'twice', 'proc/etc/passwd', 'loop', 'loop/x', 'crooked', 'out%2e', 'C:/secret.txt',
        'file:///etc/passwd', "~root/$SECRET" =~ s/[ \n:]//gr, 'parent/../secret.txt',
        'sub/deep/../../../secret.txt',
    );
    cmp_ok scalar @paths, '>=', 90, 'there are many';
    for my $prefix (qw(/ /static/ /app/ /pages/)) {
        my $wrong = 0;
        for my $path (@paths) {

            # What is malformed closes the connection: each gets its own.
            my $own      = $server->client->ask('GET', "$prefix$path");
            my $response = $own->receive;

            # What merely does not exist is the fallback's.
            my $expected = $prefix eq '/app/' && $response->status == 200 ? $response->body eq $content{'app/index.html'}
              : $response->status =~ /^40[04]$/;
            my $kept = $response->status == 400 || $own->get('/style.css')->body eq $content{'style.css'};
            next if $expected && $kept && $response->body !~ /SECRET|root:|<h1>Hello|core|hidden|Deny/;
            $wrong++;
            fail "$prefix$path: " . $response->status . ' ' . $response->body;
        }
        is $wrong, 0, "below $prefix";
    }
    problem_is $server->get('/static/a%zz'), 400, {}, 'a broken percent-encoding is a bad request';
    is $server->get("/app/$_")->status, 404, "/app/$_ is no case for the fallback"
      for qw(.git .well-known/x ../x %2e%2e/x a%2fb a%5cb a//b a/../b %00);
};

subtest 'symbolic links that stay within are followed' => sub {
    link_to($_->[0], $_->[1])
      for [ 'style.css', 'in' ], [ 'sub', 'linked' ], [ '../style.css', 'sub/up.css' ], [ 'sub/../style.css', 'around.css' ],
      [ 'nothing', 'dangling' ], [ 'linked/up.css', 'far.css' ];
    is $client->get("/$_")->body, $content{'style.css'}, $_ for qw(in sub/up.css linked/up.css around.css far.css);
    is $client->get('/linked/')->body, $content{'sub/index.html'}, 'a folder';
    is $client->get('/linked')->status, 301, '… without its slash';
    is $client->get('/dangling')->status, 404, 'one that leads nowhere';
};

subtest 'what is no file is not sent, and nobody waits for it' => sub {
    mkfifo("$public/fifo", 0644) or die "mkfifo: $!";
    my $socket = IO::Socket::UNIX->new(Local => "$public/socket", Listen => 1) or die "socket: $!";
    problem_is $client->get($_), 404, {}, $_ for qw(/fifo /socket);
    is $client->get('/style.css')->status, 200, 'the next request is answered';
};

subtest 'fallback: what is not there is that file, with 200' => sub {
    for my $path ('', qw(index.html users users/1 users/1/ a.b.c nowhere.js main.js/x), 'x' x 300) {
        my $response = $client->get("/app/$path");
        is $response->status, 200, "/app/$path";
        is $response->body, $content{'app/index.html'}, '… is the fallback';
        header_is $response, 'Content-Type', 'text/html; charset=utf-8';
    }
    is $client->get('/app/main.js')->body, $content{'app/main.js'}, 'what is there is sent as it is';
    my $etag = $client->get('/app/')->header('ETag');
    is $client->get('/app/x', headers => { 'If-None-Match' => $etag })->status, 304, 'it can be asked for conditionally';
    is $client->get('/app/x', headers => { Range => 'bytes=1-2' })->body, 'h1', '… and in part';
};

subtest 'conditional requests' => sub {
    utime 1_700_000_000, 1_700_000_000, "$public/style.css" or die;
    my $etag = $client->get('/style.css')->header('ETag');
    my ($at, $before, $after) = map { strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(1_700_000_000 + $_)) } 0, -1, 1;
    for my $row (
        [ 304, 'If-None-Match' => $etag ],
        [ 304, 'If-None-Match' => "W/$etag" ],
        [ 304, 'If-None-Match' => "\"x\", $etag" ],
        [ 304, 'If-None-Match' => '*' ],
        [ 200, 'If-None-Match' => '"x"' ],
        [ 304, 'If-Modified-Since' => $at ],
        [ 304, 'If-Modified-Since' => $after ],
        [ 304, 'If-Modified-Since' => 'Tuesday, 14-Nov-23 22:13:20 GMT' ],
        [ 304, 'If-Modified-Since' => 'Tue Nov 14 22:13:20 2023' ],
        [ 200, 'If-Modified-Since' => $before ],
        [ 200, 'If-Modified-Since' => 'nonsense' ],
        [ 200, 'If-Modified-Since' => $after, 'If-None-Match' => '"x"' ],
        [ 200, 'If-Match' => $etag ],
        [ 412, 'If-Match' => '"x"' ],
        [ 412, 'If-Unmodified-Since' => $before ],
        [ 206, 'If-Range' => $etag,  Range => 'bytes=0-1' ],
        [ 206, 'If-Range' => $at,    Range => 'bytes=0-1' ],
        [ 200, 'If-Range' => '"x"',  Range => 'bytes=0-1' ],
        [ 200, 'If-Range' => $after, Range => 'bytes=0-1' ],
      ) {
        my ($status, %headers) = @$row;
        my $name = join ', ', map { "$_: $headers{$_}" } sort keys %headers;
        for my $method (qw(GET HEAD)) {
            my $response = $client->request($method, '/static/style.css', headers => \%headers);
            is $response->status, $method eq 'HEAD' && $status == 206 ? 200 : $status, "$method with $name";
            next if $response->status != 304;
            is $response->body, '', '… no body';
            is_deeply [ grep { !/^(date|server|x-request-id)$/ } $response->names ], [qw(cache-control etag)], '… the fields of a 304';
            header_is $response, 'ETag', $etag;
        }
    }
    my $lines = "GET /style.css HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\nIf-None-Match: $etag\r\n\r\n";
    is $client->send($lines)->receive->status, 304, 'a list may stand on several lines';
    $lines = "GET /style.css HTTP/1.1\r\nHost: a\r\n" . "If-None-Match:\r\n" . 'If-None-Match: "x", "y"' . "\r\n" x 2;
    is $client->send($lines)->receive->status, 200, '… one of them empty, and none the one';
    $lines =~ s/"y"/"y"\r\nIf-None-Match: $etag/;
    is $client->send($lines)->receive->status, 304, '… or the last';
};

subtest 'another content is another ETag' => sub {
    my %seen;
    for my $n (1 .. 50) {
        spew("$public/changing.txt", sprintf "%02d\n", $n);
        my $response = $client->get('/changing.txt');
        is $response->body, sprintf("%02d\n", $n), "content $n";
        push @{ $seen{ $response->header('ETag') } }, $n;
        sleep 0.02;    # a file system's clock ticks every few milliseconds
    }
    is_deeply [ grep { @$_ > 1 } values %seen ], [], 'each its own, within a second and with the same length';

    utime 4_000_000_000, 4_000_000_000, "$public/changing.txt" or die;
    my $same = sub ($response) { $response->header('Last-Modified') eq $response->header('Date') };
    ok wait_for('the same second', sub { $same->($client->get('/changing.txt')) }),
      'what was changed in the future was changed now';
};

subtest 'ranges are those bytes' => sub {
    my $size  = length $content{'photo.JPG'};
    my @pairs = ([ 0, 0 ], [ 0, $size - 1 ], [ 1, 1 ], [ $size - 1, $size - 1 ], [ 131_071, 131_072 ], [ 0, 131_071 ],
        [ 131_072, 262_143 ], [ 100, 299_000 ], map { my @n = sort { $a <=> $b } map { int rand $size } 1, 2; \@n } 1 .. 40);
    for my $pair (@pairs) {
        my ($first, $last) = @$pair;
        my $response = $client->get('/photo.JPG', headers => { Range => "bytes=$first-$last" });
        is $response->status, 206, "bytes=$first-$last";
        header_is $response, 'Content-Range', "bytes $first-$last/$size";
        ok $response->body eq substr($content{'photo.JPG'}, $first, $last - $first + 1), '… are those of the file';
    }
    for my $row (
        [ 'bytes=299990-',       299_990, 10 ],
        [ 'bytes=-10',           299_990, 10 ],
        [ 'bytes=-999999999',    0,       300_000 ],
        [ 'bytes=299999-999999', 299_999, 1 ],
      ) {
        my ($range, $from, $len) = @$row;
        my $response = $client->get('/photo.JPG', headers => { Range => $range });
        header_is $response, 'Content-Range', sprintf('bytes %d-%d/300000', $from, $from + $len - 1), $range;
        ok $response->body eq substr($content{'photo.JPG'}, $from, $len), '… are those of the file';
    }
    for my $range (qw(bytes=300000- bytes=-0 bytes=999999999999999999999-), 'bytes=300000-300001') {
        my $response = $client->get('/static/photo.JPG', headers => { Range => $range });
        is $response->status, 416, $range;
        header_is $response, 'Content-Range', 'bytes */300000';
        header_is $response, 'Cache-Control', 'max-age=60';
    }
    for my $range (qw(bytes=5-4 bytes=a-b lines=1-2 bytes=0-1,4-5 bytes= nonsense)) {
        my $response = $client->get('/photo.JPG', headers => { Range => $range });
        is $response->status, 200, "$range is ignored";
        ok $response->body eq $content{'photo.JPG'}, '… all is sent';
    }
    is $client->get('/empty.txt', headers => { Range => 'bytes=0-' })->status, 416, 'an empty file has no parts';
};

subtest 'the folder changes under the server' => sub {
    spew("$public/new.txt", "new\n");
    is $client->get('/new.txt')->body, "new\n", 'a new file';
    unlink "$public/new.txt";
    is $client->get('/new.txt')->status, 404, 'it is gone';
    mkdir "$public/new.txt" or die;
    is $client->get('/new.txt')->status, 301, 'a folder in its place';
};

# A child that does something again and again until it is told to end. Returns its process id.
sub again_and_again ($do)
{
    my $pid = fork // die "fork: $!";
    return $pid if $pid > 0;
    my $parent = getppid;
    $SIG{TERM} = 'DEFAULT';
    $do->() while getppid == $parent;
    POSIX::_exit(0);
}

subtest 'a folder that is swapped for a link to the outside while requests run' => sub {
    mkdir $_ or die for "$public/swap", "$top/outside";
    spew("$public/swap/file.txt", "inside\n");
    spew("$top/outside/file.txt", $SECRET);
    link_to('swap-in', 'current');
    mkdir "$public/swap-in" or die;
    spew("$public/swap-in/file.txt", "inside\n");
    my $swapper = again_and_again(
        sub {
            rename "$public/swap", "$public/swap.away";
            symlink '../outside', "$public/swap";
            symlink '../outside', "$public/current.new";
            rename "$public/current.new", "$public/current";
            unlink "$public/swap";
            rename "$public/swap.away", "$public/swap";
            symlink 'swap-in', "$public/current.new";
            rename "$public/current.new", "$public/current";
        }
    );
    my (%seen, @wrong);
    wait_for(
        'both to be seen often',
        sub {
            for my $path (map { ('/swap/file.txt', '/current/file.txt') } 1 .. 100) {
                my $response = $client->get($path);
                my $what     = $response->status . ($response->status == 200 ? ' ' . $response->body =~ s/\n//r : '');
                $seen{"$path $what"}++;
                push @wrong, "$path $what" if $what !~ /^(?:200 inside|404|503)$/;
            }
            return !grep { ($seen{$_} // 0) < 300 } '/swap/file.txt 404', '/swap/file.txt 200 inside',
              '/current/file.txt 404', '/current/file.txt 200 inside';
        }
    );
    kill 'TERM', $swapper;
    waitpid $swapper, 0;
    is_deeply \@wrong, [], 'what is outside is never sent';
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;
};

is $server->stop, 'exit 0', 'the server ends well';

subtest 'what must not be read is 403, and told once a minute' => sub {
    my @under = $> == 0 ? qw(setpriv --bounding-set=-dac_override,-dac_read_search) : ();
    my $own   = server($CONF, options => { workers => 1 }, under => \@under);
    spew("$public/locked.txt", $SECRET);
    mkdir "$public/locked" or die;
    chmod 0, "$public/locked.txt", "$public/locked";
    problem_is $own->get($_), 403, {}, $_ for qw(/locked.txt /locked/x /locked/ /locked.txt);
    is $own->get('/style.css')->status, 200, 'all else is sent';
    my @lines = $own->log_lines(qr/error/);
    is scalar @lines, 1, 'one line';
    like $lines[0], qr{: GET /\{path\.\.\.\}: cannot read locked\.txt in \Q$public\E: Permission denied \(request [0-9a-f]{16}\)$};
    is $own->stop, 'exit 0';
    chmod 0700, "$public/locked" or die;    # else only root could remove it
};

# A file of so many MB, no two of its MB the same. Returns the digest of all of it.
sub make_big_file ($path, $megabytes)
{
    my $sha = Digest::SHA->new(256);
    my $block = join '', map { chr int rand 256 } 1 .. 1 << 16;
    open my $file, '>:raw', $path or die "$path: $!";
    for my $n (1 .. $megabytes) {
        my $megabyte = ($block x 16) =~ s/^.{8}/sprintf '%08d', $n/esr;
        print {$file} $megabyte;
        $sha->add($megabyte);
    }
    close $file or die "$path: $!";
    return $sha->hexdigest;
}

# Reads so many bytes after an answer's head, and returns their digest.
sub read_body ($connection, $bytes)
{
    my ($sha, $got, $buffer) = (Digest::SHA->new(256), 0, '');
    while ($buffer !~ /\r\n\r\n/) {
        sysread $connection->{socket}, $buffer, 1 << 16, length $buffer or die "the head breaks off: $!";
    }
    $buffer =~ s/.*?\r\n\r\n//s;
    while (1) {
        $sha->add($buffer);
        last if ($got += length $buffer) >= $bytes;
        sysread $connection->{socket}, $buffer, 1 << 18 or die "the body breaks off at $got: $!";
    }
    return $sha->hexdigest;
}

# The most memory that a process has had, in KB.
sub most_memory ($pid)
{
    return slurp("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 : die 'no VmHWM';
}

subtest 'a file of 100 MB passes in flat memory' => sub {
    my $big = 100;
    my $digest = make_big_file("$public/big.bin", $big);
    my $own    = server($CONF, options => { workers => 1, core => 'on' });    # its descriptors are counted
    my ($worker) = $own->workers;
    $own->get('/photo.JPG') for 1 .. 3;
    my $before = most_memory($worker);

    is read_body($own->client->ask('GET', '/big.bin'), $big << 20), $digest, 'it is what lies on disk';
    my @both = map { $own->client->ask('GET', '/big.bin') } 1 .. 2;
    is read_body($_, $big << 20), $digest, 'also one of two at once' for @both;
    cmp_ok most_memory($worker) - $before, '<', 4096, 'the worker has not grown by 4 MB';

    my $range = $own->get('/big.bin', headers => { Range => 'bytes=94371840-94371847' });
    is $range->body, '00000091', 'a part in the middle';

    my $files = at_rest('the descriptors', sub { descriptors($worker) });
    my @slow  = map { $own->client->receive_buffer(4096)->ask('GET', '/big.bin') } 1 .. 20;
    ok $_->readable(60), 'a client that does not read on' for @slow;
    wait_for('all to be under way', sub { descriptors($worker) >= $files + 2 * @slow });
    is $own->get('/style.css')->status, 200, 'is in nobody\'s way';
    cmp_ok most_memory($worker) - $before, '<', 20 * 256 + 4096, 'and takes little memory';
    $_->close($_ == $slow[0] ? '' : 'reset') for @slow;
    wait_for('the files of those that left to be closed', sub { descriptors($worker) <= $files });
    pass 'those that leave in the middle leave nothing behind';
    is $own->stop, 'exit 0';
};

subtest 'a file that changes while it is sent' => sub {
    my $size   = 64 << 20;
    my $digest = make_big_file("$public/short.bin", 64);
    my $own    = server($CONF, options => { workers => 1 });

    my $slow = $own->client->ask('GET', '/short.bin');
    ok $slow->readable(60), 'it is under way';
    spew("$public/short.bin.new", "another\n");
    rename "$public/short.bin.new", "$public/short.bin" or die;
    is read_body($slow, $size), $digest, 'replaced by another file: the old one is sent to its end';
    is $own->get('/short.bin')->body, "another\n", '… the next client gets the new one';

    make_big_file("$public/short.bin", 64);
    $slow = $own->client->ask('GET', '/short.bin');
    ok $slow->readable(60), 'another one is under way';
    truncate "$public/short.bin", 1000 or die;
    is eval { read_body($slow, $size) }, undef, 'made shorter: the answer is cut off, and not taken for whole';
    like $own->log, qr{: GET /\{path\.\.\.\}: stopped sending short\.bin in \S+: it has become shorter \(request \w{16}\)$}m,
      '… the log says why';
    is $own->get('/short.bin')->header('Content-Length'), 1000, '… the next client gets what there is';
    is $own->stop, 'exit 0';
};

subtest 'a folder that is gone' => sub {
    mkdir "$top/gone" or die;
    spew("$top/gone/a.txt", "a\n");
    my $own = server(<<~CONF);
        workers: 1
        routes:
          GET /{path...}: { files: $top/gone }
          GET /hello: { text: "hello\\n" }
        CONF
    is $own->get('/a.txt')->body, "a\n";
    rename "$top/gone", "$top/moved" or die;
    is $own->get('/a.txt')->body, "a\n", 'one that was moved is still served: it was opened at the start';

    my ($worker) = $own->workers;
    kill 'KILL', $worker;
    wait_for('another worker', sub { my ($next) = $own->workers; defined $next && $next != $worker });
    wait_for('it to serve', sub { $own->log =~ /503: cannot open the folder/ });
    problem_is $own->get('/a.txt'), 503, {}, 'a worker that comes later does not find it';
    is $own->get('/hello')->body, "hello\n", '… and serves all else';
    rename "$top/moved", "$top/gone" or die;
    is $own->get('/a.txt')->body, "a\n", '… until it is there again';
    is $own->stop, 'exit 0';
};

subtest 'the folder belongs to the file that names it' => sub {
    my $etc = temporary_folder();
    mkdir $_ or die for "$etc/conf.d", "$etc/conf.d/www", "$etc/www";
    spew("$etc/$_/index.html", "$_\n") for qw(www conf.d/www);
    spew("$etc/hayfork.conf", "include: conf.d/*.conf\nroutes:\n  GET /a/{path...}: { files: ./www/ }\n");
    spew("$etc/conf.d/b.conf", "routes:\n  GET /b/{path...}: { files: www }\n");
    my $own = server(undef, file => "$etc/hayfork.conf", options => { workers => 1 });
    is $own->get('/a/')->body, "www\n",        'the conf';
    is $own->get('/b/')->body, "conf.d/www\n", 'an included file';
    is $own->stop, 'exit 0';
    like hayfork('-T', '-c', "$etc/hayfork.conf")->{stdout}, qr{^    files: "?\Q$etc/www\E"?$}m, '-T has it from the root';
};

done_testing;
