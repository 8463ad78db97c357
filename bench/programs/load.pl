# Strings, arrays and hashes: records are made, sorted, joined, split and counted.
use strict;
use warnings;

my $rounds = shift;
for my $round (1 .. $rounds) {
    my @records = map { { id => $_, name => "name" . $_ * 7919 % 5000, tags => [map { "t$_" } 1 .. 3] } } 1 .. 5000;
    my %by_name;
    push @{ $by_name{ $_->{name} } }, $_ for @records;
    my $text = join "\n", map { "$_->{id}:$_->{name}:" . join(",", @{ $_->{tags} }) } sort { $a->{name} cmp $b->{name} } @records;
    my $count = 0;
    for my $line (split /\n/, $text) {
        my ($id, $name, $tags) = split /:/, $line;
        $count += () = $tags =~ /t\d/g;
    }
    die "counted $count" unless $count == 15000;
}
