# on: box
# The table is still there.
nft delete chain ip table1 chain1
