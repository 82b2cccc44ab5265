#!/usr/bin/perl
# Asks an installed SpamAssassin what it finds in messages, for comparison with our own engine (see main.go).
#   oracle.pl [--texts] RULES FILE...      (without FILE: names on standard input)
# Local tests only, no Bayes, no user preferences; nothing is written outside a temporary folder.
# Each message gives records "KIND LENGTH NAME\nVALUE\n": M (file, score), T (rule hit, value), and with --texts H (header), B (body line),
# R (rawbody chunk), U (URI).
use strict;
use warnings;
use File::Temp qw(tempdir);
use File::Copy qw(copy);
use POSIX ();
use Mail::SpamAssassin;
use Mail::SpamAssassin::PerMsgStatus;

my $texts = @ARGV && $ARGV[0] eq '--texts' ? shift : '';
my $rules = shift or die "oracle.pl [--texts] RULES [FILE...]\n";

my $site = tempdir(CLEANUP => 1);
copy($_, $site) for grep { !/sa-compile/ } glob('/etc/spamassassin/*.pre');
open(my $cf, '>', "$site/local.cf") or die $!;
print $cf "dns_available no\nuse_razor2 0\nuse_pyzor 0\nuse_bayes 0\nbayes_auto_learn 0\n";
close $cf;

my $sa = Mail::SpamAssassin->new({
    rules_filename => $rules, site_rules_filename => $site, userprefs_filename => '/dev/null', local_tests_only => 1,
    dont_copy_prefs => 1, home_dir_for_helpers => $site, PREFIX => '/usr', DEF_RULES_DIR => $rules, LOCAL_RULES_DIR => $site,
    LOCAL_STATE_DIR => $site,
});
$sa->init(0);
my %specs;
$specs{$_} = 1 for values %{ $sa->{conf}{test_opt_header} };

binmode STDOUT;
sub record {
    my ($kind, $name, $value) = @_;
    utf8::encode($value) if utf8::is_utf8($value);
    printf "%s %d %s\n%s\n", $kind, length($value), $name, $value;
}

# one asks about one message, in a process of its own: SpamAssassin keeps state from message to message (caches of hosts, addresses, name
# lists), with which the answer would depend on what came before.
sub one {
    my ($file) = @_;
    open(my $in, '<', $file) or die "$file: $!";
    binmode $in;
    my $raw = do { local $/; <$in> };
    close $in;
    my $message = $sa->parse($raw, 1);
    my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $message);
    $status->check();
    record('M', $file, sprintf('%.3f', $status->get_score()));
    my $hits = $status->{tests_already_hit};
    record('T', $_, $hits->{$_}) for sort grep { $hits->{$_} } keys %$hits;
    return unless $texts;
    for my $spec (sort keys %specs) {
        my @values = $status->get($spec);
        record('H', $spec, join($values[0] =~ /\n\z/ ? '' : "\n", @values)) if @values;
    }
    record('B', '-', $_) for @{ $status->get_decoded_stripped_body_text_array() };
    record('R', '-', $_) for @{ $status->get_decoded_body_text_array() };
    record('U', '-', $_) for sort $status->get_uri_list();
}

$sa->compile_now(0, 1);
$| = 1;
push @ARGV, map { chomp; $_ } <STDIN> unless @ARGV;
for my $file (@ARGV) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        $| = 0;
        one($file);
        close STDOUT;
        POSIX::_exit(0);
    }
    waitpid($pid, 0);
    warn "$file: SpamAssassin ended with status $?\n" if $?;
}
