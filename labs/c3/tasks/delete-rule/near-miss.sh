# on: box
# Everything at once.
nft delete table ip table1
