# on: box
# Where packets come from, not where they go to.
nft add rule ip table1 chain1 ip saddr 8.8.8.8 counter
