# on: box
# All at once, as a file would have it.
echo 'table ip table1 { chain chain1 { type filter hook output priority -10; } }' | nft -f -
