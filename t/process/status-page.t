# status-page: the operators' page in a browser: what people see, with and without scripts, by day and by night.
use v5.36;

use Hayfork::Test;

use Hayfork::Test::Browser;
use Hayfork::Test::Process qw(wait_for);

needs_postgres;
needs(defined Hayfork::Test::Browser::program(), 'neither chromium-headless-shell nor chromium is installed');

my $cluster = cluster->load_contacts;
my $admin   = '127.0.0.1:' . Hayfork::Test::Server::free_port();
my $markup  = '<img src=x onerror=alert(1)>&amp;';
my $server  = server(<<~CONF, cluster => $cluster);
    workers: 2
    admin: $admin
    database: { connect: ${\ $cluster->conninfo } }
    routes:
      GET /:
        text: "hello\\n"
      GET /contacts/{id}:
        sql: "SELECT id, firstname, lastname FROM contact WHERE id = :id"
        answer: row
      GET /fails:
        sql: "SELECT ('$markup' || left(now()::text, 0))::int"
        answer: row
      GET /a<b>&c:
        text: "markup\\n"
    CONF
my $url     = "http://$admin/";
my $browser = Hayfork::Test::Browser->start;

sub text_of ($page, $selector)
{
    return $page->evaluate("document.querySelector('$selector').innerText");
}

# The first column of a table's rows.
sub first_column ($page, $table)
{
    return $page->evaluate("[...document.querySelectorAll('#$table tbody tr')].map((row) => row.cells[0].innerText.split('\\n')[0])")->@*;
}

sub routes ($page)
{
    return map { s/^\w+\s+//r =~ s/\s*text$//r } first_column($page, 'routes');
}

# Texts whose contrast to what is behind them is too low (WCAG 2.2, 1.4.3).
sub pale_texts ($page)
{
    return $page->evaluate(<<~'JS')->@*;
        (() => {
            const parse = (color) => {
                const n = color.match(/[\d.]+(?:e-?\d+)?/g).map(Number), unit = color.startsWith('color(') ? 255 : 1;
                return { rgb: n.slice(0, 3).map((c) => c * unit), a: n.length > 3 ? n[3] : 1 };
            };
            const over = (top, rgb) => top.rgb.map((c, i) => c * top.a + rgb[i] * (1 - top.a));
            const behind = (element) => {
                if (!element)
                    return [255, 255, 255];
                const color = parse(getComputedStyle(element).backgroundColor);
                return color.a === 1 ? color.rgb : over(color, behind(element.parentElement));
            };
            const light = (rgb) => {
                const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const pale = [];
            for (const element of document.body.querySelectorAll('*')) {
                const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim()).map((node) => node.data).join();
                if (!text || !element.checkVisibility() || element.closest('svg'))
                    continue;
                const back = behind(element), a = light(over(parse(getComputedStyle(element).color), back)), b = light(back);
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5)
                    pale.push(`${text.trim()}: ${ratio.toFixed(2)}`);
            }
            return pale;
        })()
        JS
}

subtest 'what its head says' => sub {
    my $response = Hayfork::Test::Client->new($admin)->get('/');
    header_is $response, 'Content-Type', 'text/html; charset=utf-8';
    my %policy = map { split ' ', $_, 2 } split /; /, $response->header('Content-Security-Policy');
    is $policy{'default-src'}, q('none'), 'nothing is allowed';
    is_deeply [ grep { /\*|unsafe|http|data/ } values %policy ], [], '… but what comes from here';
    header_is $response, 'X-Content-Type-Options', 'nosniff';
    unlike $response->body, qr{(?:src|href)="(?!/)}, 'it has no asset of others';
    unlike $response->body, qr/<!--\{/, 'all its places are filled in';
};

subtest 'figures that change under load' => sub {
    my $page = $browser->page->open($url);
    wait_for('the page to draw', sub { text_of($page, '#state') eq 'Serving' });
    is_deeply [ sort +routes($page) ], [ '/', '/a<b>&c', '/contacts/{id}', '/fails' ], 'all routes are there';
    is_deeply [ first_column($page, 'workers') ], [ 1, 2 ], 'all workers';
    is_deeply [ first_column($page, 'lanes') ], ['read'], 'the lane';
    wait_for('requests to be seen', sub {
        my $client = $server->client;    # a new one each time: one connection takes so many requests only
        $client->get("/contacts/$_") for 0 .. 20;
        my $rate = text_of($page, '#rate');
        return $rate =~ /^[\d.,]+$/ && $rate ne '0' && text_of($page, '#latency') =~ /^\d+(?:\.\d+)? (?:\x{b5}s|ms|s)$/;
    });
    like text_of($page, '#rate-more'), qr/^[\d,]+ in all$/, 'how many';
    wait_for('a curve', sub { $page->evaluate(q{document.querySelector('#rate-spark .line').getAttribute('d').includes('L')}) });
    wait_for('errors of clients', sub {
        $server->get('/contacts/0');
        return text_of($page, '#errors-more') !~ /^0 /;
    });
    $server->get('/fails');
    my $lines = q{[...document.querySelectorAll('#log tbody td:last-child')].map((cell) => cell.innerText)};
    ok wait_for('the log', sub { grep { /\Q$markup\E/ } $page->evaluate($lines)->@* }), 'a line of the log is a text';
    is $page->evaluate(q{document.querySelectorAll('tbody img').length}), 0, '… and no markup';
    is_deeply [ $page->complaints ], [], 'the console has nothing to say';
};

subtest 'sorting, by keyboard' => sub {
    my $page = $browser->page->open($url);
    wait_for('the page to draw', sub { text_of($page, '#state') eq 'Serving' });
    my $focused = sub { $page->evaluate(q{document.activeElement.closest('th')?.dataset.sort ?? ''}) };
    my $sort    = sub { $page->evaluate(q{[...document.querySelectorAll('#routes th')].map((th) => th.getAttribute('aria-sort')).join(' ')}) };
    is $sort->(), 'none descending none none none none none none', 'by requests a second at first';
    for (1 .. 30) {
        $page->press('Tab');
        last if $focused->() eq 'route';
    }
    is $focused->(), 'route', 'the first button has the focus';
    isnt $page->evaluate(q{getComputedStyle(document.activeElement).outlineStyle}), 'none', '… which can be seen';
    $page->press('Enter');
    is $sort->(), 'ascending none none none none none none none', 'by path';
    is_deeply [ routes($page) ], [ '/', '/a<b>&c', '/contacts/{id}', '/fails' ], '… upwards';
    $page->press('Enter');
    is $sort->(), 'descending none none none none none none none', 'again';
    is_deeply [ routes($page) ], [ '/fails', '/contacts/{id}', '/a<b>&c', '/' ], '… downwards';
    is $focused->(), 'route', 'the button keeps the focus';
    $page->press('Tab') for 1 .. 2;
    $page->press('Enter');
    is +(routes($page))[0], '/contacts/{id}', 'by requests';
    is_deeply [ $page->complaints ], [], 'the console has nothing to say';
};

subtest 'parameters and columns stay open while figures change' => sub {
    my $page = $browser->page->open($url);
    wait_for('the page to draw', sub { text_of($page, '#state') eq 'Serving' });
    my $details = q{[...document.querySelectorAll('#routes details')].find((d) => d.innerText.startsWith('1 parameter, 3 columns'))};
    $page->evaluate("$details.querySelector('summary').click()");
    my $facts = text_of($page, '#facts');
    wait_for('the next second', sub { text_of($page, '#facts') ne $facts });
    ok $page->evaluate("$details.open"), 'they are open';
    is $page->evaluate("$details.querySelector('dl').innerText") =~ s/\s+/ /gr,
      'Parameters id int4 Columns id int4 firstname text lastname text', 'as PostgreSQL has described them';
};

subtest 'without scripts' => sub {
    my $page = $browser->page(scripts => 0)->open($url);
    my $html = Hayfork::Test::Client->new($admin)->get('/')->body;
    my ($rows) = $html =~ m{<table id="routes">.*?<tbody>(.*?)</tbody>}s;
    is scalar(() = $rows =~ /<tr>/g), 4, 'the routes are there';
    like $rows, qr{/a&lt;b&gt;&amp;c<}, '… escaped';
    my ($log) = $html =~ m{<table id="log">.*?<tbody>(.*?)</tbody>}s;
    like $log, qr/&lt;img src=x onerror=alert\(1\)&gt;&amp;amp;/, '… as is the log';
    is scalar(() = $html =~ m{<td class="">ready</td>}g), 3, 'the workers and the lane';
    is_deeply [ $page->complaints ], [], 'the console has nothing to say';
};

for my $look ([ 'by day', width => 1280 ], [ 'by night', width => 1280, dark => 1 ], [ 'on a phone', width => 360 ], [ 'by night, on a phone', width => 360, dark => 1 ]) {
    my ($name, %with) = @$look;
    subtest $name => sub {
        my $page = $browser->page(%with)->open($url);
        wait_for('the page to draw', sub { text_of($page, '#state') eq 'Serving' });
        is join("\n", pale_texts($page)), '', 'all can be read';
        cmp_ok $page->evaluate('document.documentElement.scrollWidth'), '<=', $with{width}, 'nothing is wider than the window';
        my ($red) = $page->evaluate('getComputedStyle(document.body).backgroundColor') =~ /(\d+)/;
        cmp_ok $with{dark} ? 255 - $red : $red, '>', 200, $with{dark} ? 'it is dark' : 'it is light';
        is_deeply [ $page->complaints ], [], 'the console has nothing to say';
    };
}

subtest 'a server that goes away' => sub {
    my $page = $browser->page->open($url);
    wait_for('the page to draw', sub { text_of($page, '#state') eq 'Serving' });
    $server->stop;
    wait_for('the page to say so', sub { text_of($page, '#state') =~ /^(?:Not reached|No answer)$/ });
    cmp_ok scalar(first_column($page, 'workers')), '>=', 1, 'what was there stays';
};

$browser->stop;
done_testing;
