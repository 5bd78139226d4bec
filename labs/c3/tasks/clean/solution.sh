# on: box
nft delete chain ip table1 chain1
nft delete table ip table1
nft list ruleset
