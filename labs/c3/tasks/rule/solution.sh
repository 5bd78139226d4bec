# on: box
nft add rule ip table1 chain1 ip daddr 8.8.8.8 counter
