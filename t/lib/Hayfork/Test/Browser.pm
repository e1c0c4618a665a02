# Hayfork::Test::Browser: a headless Chromium, driven by the messages of its DevTools protocol over two pipes.
#
#   my $page = Hayfork::Test::Browser->start->page(width => 390, dark => 1);
#   $page->open('http://127.0.0.1:9180/');
#   is $page->evaluate('document.title'), 'Hayfork';
#   is_deeply [ $page->complaints ], [];
package Hayfork::Test::Browser;

use v5.36;

use Carp qw(croak);
use IO::Handle;
use IO::Select;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use POSIX qw(mkfifo);

use Hayfork::Test::Process qw(spawn reap temporary_folder);

my $LIMIT = 60;    # seconds for an answer

# The program, or undef where there is none.
sub program ()
{
    for my $name (qw(chromium-headless-shell chromium)) {
        my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
        return $path if defined $path;
    }
    return;
}

sub start ($class)
{
    my $folder  = temporary_folder();
    # What it opens is ours alone, and not every container lets it make the name spaces of its sandbox, or lets root.
    my @options = (
        '--no-sandbox',
        qw(--headless --remote-debugging-pipe --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking),
        qw(--disable-component-update --hide-scrollbars --force-color-profile=srgb), "--user-data-dir=$folder/profile",
    );
    mkfifo("$folder/$_", 0600) or croak "mkfifo: $!" for qw(in out);
    my $pid = spawn(
        [ '/bin/sh', '-c', 'exec "$@" 3<"$0/in" 4>"$0/out"', $folder, program(), @options, 'about:blank' ],
        stdout => "$folder/log",
        stderr => "$folder/log",
        env    => { HOME => $folder },
    );
    open my $to,   '>', "$folder/in"  or croak "$folder/in: $!";
    open my $from, '<', "$folder/out" or croak "$folder/out: $!";
    $to->autoflush;
    return bless { pid => $pid, to => $to, from => $from, folder => $folder, input => '', n => 0, pages => {} }, $class;
}

# Sends a command and returns its result. Events that come before it go to their pages.
sub command ($self, $method, $parameters = {}, $session = undef)
{
    my $id      = ++$self->{n};
    my $message = { id => $id, method => $method, params => $parameters };
    $message->{sessionId} = $session if defined $session;
    print { $self->{to} } encode_json($message), "\0" or croak "Chromium does not listen: $!";
    while (1) {
        my $answer = $self->receive($LIMIT) // croak "no answer to $method";
        next if ($answer->{id} // 0) != $id;
        croak "$method: $answer->{error}{message}" if $answer->{error};
        return $answer->{result};
    }
}

# The next message, or undef if none comes in so many seconds. An event goes to its page, too.
sub receive ($self, $seconds)
{
    while ($self->{input} !~ /\0/) {
        return if !IO::Select->new($self->{from})->can_read($seconds);
        sysread($self->{from}, $self->{input}, 65536, length $self->{input}) or croak 'Chromium has ended';
    }
    $self->{input} =~ s/\A(.*?)\0//s;
    my $message = decode_json($1);
    my $page    = $self->{pages}{ $message->{sessionId} // '' };
    push @{ $page->{events} }, $message if defined $page && defined $message->{method};
    return $message;
}

# An empty page in a context of its own. with: width, height (in CSS pixels), scale (device pixels to one of these),
# dark, scripts (0: without)
sub page ($self, %with)
{
    my $context = $self->command('Target.createBrowserContext')->{browserContextId};
    my $target  = $self->command('Target.createTarget', { url => 'about:blank', browserContextId => $context })->{targetId};
    my $session = $self->command('Target.attachToTarget', { targetId => $target, flatten => JSON::PP::true })->{sessionId};
    my $page    = bless { browser => $self, session => $session, events => [] }, 'Hayfork::Test::Browser::Page';
    $self->{pages}{$session} = $page;
    $page->command("$_.enable") for qw(Page Runtime Log Network);
    my %metrics = (width => $with{width} // 1280, height => $with{height} // 800, deviceScaleFactor => $with{scale} // 1);
    $page->command('Emulation.setDeviceMetricsOverride', { %metrics, mobile => $metrics{width} < 600 ? JSON::PP::true : JSON::PP::false });
    my $scheme = $with{dark} ? 'dark' : 'light';
    $page->command('Emulation.setEmulatedMedia', { features => [ { name => 'prefers-color-scheme', value => $scheme } ] });
    $page->command('Emulation.setScriptExecutionDisabled', { value => JSON::PP::true }) if !($with{scripts} // 1);
    return $page;
}

sub stop ($self)
{
    eval { $self->command('Browser.close') };
    return reap($self->{pid});
}

package Hayfork::Test::Browser::Page;

use v5.36;

use Carp qw(croak);

sub command ($self, $method, $parameters = {})
{
    return $self->{browser}->command($method, $parameters, $self->{session});
}

# Goes there, and waits until it is loaded.
sub open ($self, $url)
{
    my $seen   = @{ $self->{events} };
    my $result = $self->command('Page.navigate', { url => $url });
    croak "$url: $result->{errorText}" if $result->{errorText};
    until (grep { $_->{method} eq 'Page.loadEventFired' } @{ $self->{events} }[ $seen .. $#{ $self->{events} } ]) {
        $self->{browser}->receive($LIMIT) // croak "$url is not loaded";
    }
    return $self;
}

# What an expression in JavaScript comes to, as JSON would have it; a promise is awaited.
sub evaluate ($self, $expression)
{
    my $result = $self->command('Runtime.evaluate',
        { expression => $expression, returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true });
    my $exception = $result->{exceptionDetails};
    croak "$expression: " . ($exception->{exception}{description} // $exception->{text}) if $exception;
    return $result->{result}{value};
}

# Presses a key: Tab, Enter.
sub press ($self, $key)
{
    my %code = (Tab => 9, Enter => 13);
    my %what = (key => $key, code => $key, windowsVirtualKeyCode => $code{$key}, $key eq 'Enter' ? (text => "\r") : ());
    $self->command('Input.dispatchKeyEvent', { type => $_, %what }) for qw(keyDown keyUp);
    return;
}

# A PNG of the page: of what is to be seen, or as high as that.
sub screenshot ($self, $path, $height = undef)
{
    my %clip;
    if (defined $height) {
        my $width = $self->evaluate('innerWidth');
        %clip = (clip => { x => 0, y => 0, width => $width, height => $height, scale => 1 }, captureBeyondViewport => JSON::PP::true);
    }
    my $data = $self->command('Page.captureScreenshot', { format => 'png', %clip })->{data};
    CORE::open my $file, '>:raw', $path or croak "$path: $!";
    print {$file} MIME::Base64::decode_base64($data);
    close $file or croak "$path: $!";
    return;
}

# What a developer would see in red or yellow: errors and warnings of the console, exceptions, violations of the
# policy, requests that failed.
sub complaints ($self)
{
    my @found;
    for my $event (@{ $self->{events} }) {
        my ($method, $of) = $event->@{qw(method params)};
        push @found, "exception: $of->{exceptionDetails}{exception}{description}" if $method eq 'Runtime.exceptionThrown';
        push @found, "console: $of->{type}" if $method eq 'Runtime.consoleAPICalled' && $of->{type} =~ /^(?:error|warning|assert)$/;
        push @found, "$of->{entry}{source}: $of->{entry}{text}"
          if $method eq 'Log.entryAdded' && $of->{entry}{level} =~ /^(?:error|warning)$/;
        push @found, "$of->{response}{status}: $of->{response}{url}"
          if $method eq 'Network.responseReceived' && $of->{response}{status} >= 400;
    }
    return @found;
}

1;
